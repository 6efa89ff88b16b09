"""`outvote soak`: campaigns with fresh seeds until the time is over, and a report that later soaks add to.

The report has one line of JSON a batch. It says which numbers have been run, so the next soak goes on behind them, and
how many runs without a violation stand behind a statement about the code.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Final

import msgspec

from outvote.cli import failing
from outvote.cli.simulate import COLUMNS, command_line, file_name, print_table
from outvote.errors import Mistake
from outvote.protocols.catalogue import protocol as find_protocol
from outvote.simulator.campaigns import regressions, running
from outvote.simulator.campaigns.catalogue import CAMPAIGNS, ENDLESS, Campaign, cases, plan_of_case
from outvote.simulator.campaigns.running import Count, Place, Ran
from outvote.simulator.failure import load

FIRST: Final = 1_000_000  # behind every number that tests and CI use
HOURS_MAX: Final = 24 * 365
# Numbers a batch, three seconds of one core each. Long soaks take ten times as many, or the report would be long too.
BATCH: Final = {"swarm": 20, "twins": 50, "byzzfuzz": 8}
LONGER_MAX: Final = 10


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the report."""

    protocol: str
    campaign: str
    first: int
    after: int  # the number that the next batch begins with
    runs: int
    events: int
    messages: int
    views: int  # the highest of each run, summed up
    violations: int
    seconds: float
    version: str


def soak(
    protocol: str, hours: float, workers: int, first: int | None, report: Path, failures: Path, dask: str = "",
) -> int:
    """Returns 0 if every run of this soak held, 1 if not. Raises Mistake for numbers that make no sense, files that
    cannot be read or written, or a protocol that does not exist."""
    if not 0 < hours <= HOURS_MAX:
        raise Mistake(f"--hours is {hours:g}: choose more than 0 and at most {HOURS_MAX}; fractions are hours too")
    if workers < 1:
        raise Mistake(f"--workers is {workers}: it takes at least 1 process")
    if first is not None and first < 0:
        raise Mistake(f"--first is {first}: seeds begin at 0")
    find_protocol(protocol)
    before = read_report(report)
    deadline = time.monotonic() + hours * 3600
    longer = max(1, min(LONGER_MAX, round(hours * LONGER_MAX)))
    new: list[Batch] = []
    with running.place_of(workers, dask) as place:
        for name in cycle(ENDLESS):
            if time.monotonic() >= deadline:
                break
            following = _first(name, protocol, [*before, *new], first)
            count = BATCH[name] * longer
            batch, failed = _batch(protocol, CAMPAIGNS[name], following, count, place, deadline)
            new.append(batch)
            _append(report, batch)
            print(f"{name}: {batch.runs} runs from {following} on, {batch.violations} failed", flush=True)
            keep(protocol, failed, failures)
    _print("this soak", new)
    _print(f"all of {report}", [one for one in (*before, *new) if one.protocol == protocol])
    return 1 if any(one.violations for one in new) else 0


def _first(name: str, protocol: str, done: list[Batch], given: int | None) -> int:
    """Behind everything that the report tells of; or where the user wants to begin, if that is further on."""
    behind = max((one.after for one in done if (one.campaign, one.protocol) == (name, protocol)), default=0)
    return max(behind, FIRST if given is None else given)


def _batch(
    protocol: str, campaign: Campaign, first: int, count: int, place: Place, deadline: float
) -> tuple[Batch, list[Ran]]:
    found = find_protocol(protocol)
    counted = Count(found, campaign)
    started = time.monotonic()
    ended = True
    for ran in running.results(protocol, cases(found, campaign, first, count), place):
        counted.add(ran)
        if not ran.result.ok:
            print(failing.one_line(command_line(protocol, ran.case), ran.result), flush=True)
        if time.monotonic() >= deadline:
            ended = False
            break
    summary = counted.summary()
    # A batch that was broken off ends within a number of several cases, or behind the last one that was run.
    a_number = summary.runs if campaign.name != "byzzfuzz" else summary.runs // _cells()
    return Batch(
        protocol=protocol, campaign=campaign.name, first=first,
        after=first + (count if ended else a_number), runs=summary.runs, events=summary.events,
        messages=summary.delivered, views=summary.views, violations=len(summary.failures),
        seconds=round(time.monotonic() - started, 1), version=failing.version_told(),
    ), counted.failures


def _cells() -> int:
    return sum(1 for _ in CAMPAIGNS["byzzfuzz"].cases(find_protocol("pbft"), 0, 1))


def read_report(path: Path) -> list[Batch]:
    """Every batch so far; nothing if there is no file. Raises Mistake for a file that is not a report."""
    try:
        lines = path.read_bytes().splitlines()
        return [msgspec.json.decode(line, type=Batch) for line in lines if line.strip()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Mistake(f"{path} cannot be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise Mistake(f"{path} is no report of outvote soak: {error}") from error


def _append(path: Path, batch: Batch) -> None:
    try:
        with path.open("ab") as file:
            file.write(msgspec.json.encode(batch) + b"\n")
    except OSError as error:
        raise Mistake(f"{path} cannot be written: {error.strerror}") from error


def keep(protocol: str, failed: list[Ran], path: Path) -> None:
    """Shrink the failures that are new, and add them to a file of regressions. Raises Mistake if it cannot be
    written."""
    held = regressions.load(path)
    known = {one.case for one in held}
    found = list(_regressions(protocol, [ran for ran in failed if ran.case not in known][: failing.KEPT_MAX]))
    if found:
        try:
            regressions.append(path, found)
        except OSError as error:
            raise Mistake(f"{path} cannot be written: {error.strerror}") from error
        print(f"{len(found)} new in {path}", flush=True)


def _regressions(protocol: str, failed: list[Ran]) -> Iterator[regressions.Regression]:
    for ran in failed:
        plan = plan_of_case(find_protocol(protocol), ran.case)
        name = file_name(ran.case)
        lines = failing.keep(protocol, command_line(protocol, ran.case), plan, ran.result, name)
        print("\n".join(lines), flush=True)
        kept = failing.FOLDER / f"{name}.json"
        smallest = load(kept).smallest if kept.is_file() else plan
        yield regressions.Regression(
            name=name, what=" ".join(ran.result.violation.split())[: failing.TEXT_MAX], protocol=protocol,
            case=ran.case, plan=regressions.as_text(smallest),
        )


def _print(title: str, batches: list[Batch]) -> None:
    print(title)
    rows = [tuple(name for name in COLUMNS if name != "median")]
    for name in (*ENDLESS, "together"):
        chosen = [one for one in batches if name in (one.campaign, "together")]
        rows.append((
            name, f"{sum(one.runs for one in chosen):,}", f"{sum(one.events for one in chosen):,}",
            f"{sum(one.messages for one in chosen):,}", f"{sum(one.views for one in chosen):,}",
            f"{sum(one.violations for one in chosen):,}", f"{sum(one.seconds for one in chosen):,.0f}",
        ))
    print_table(rows)
    print(bound(sum(one.runs for one in batches), sum(one.violations for one in batches)))


def bound(runs: int, violations: int) -> str:
    """What clean runs say: with p > 3 / N, N of them would be less likely than 1 in 20."""
    if violations or not runs:
        return f"{violations} violations in {runs:,} runs: no bound"
    return f"no violation in {runs:,} runs: with 95 % confidence fewer than {3 / runs:.1e} of such runs have one"

