"""`outvote simulate` and `outvote replay`: whole clusters under faults and lies, at random and systematically.

Functions that print and return an exit code; main.py gives them their options.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from outvote.cli import failing
from outvote.cli.drawing import Drawing
from outvote.errors import Mistake
from outvote.protocols.catalogue import protocol as find_protocol
from outvote.simulator.campaigns import running
from outvote.simulator.campaigns.catalogue import CAMPAIGNS, Campaign, campaign, cases, plan_of_case
from outvote.simulator.campaigns.running import Ran, Summary
from outvote.simulator.runs import RunResult, run_plan

ALL: Final = "all"
SWARM: Final = "swarm"
SWARM_SEEDS: Final = 200  # by itself; half a minute
LINES_MAX: Final = 10  # of progress in one campaign, where they cannot be overwritten
LINE_RUNS_MIN: Final = 50
COLUMNS: Final = ("campaign", "runs", "events", "messages", "views", "median", "violations", "seconds")


class Timed:
    """A summary, and the seconds that it took."""

    def __init__(self, summary: Summary, seconds: float) -> None:
        self.summary = summary
        self.seconds = seconds

    def row(self) -> tuple[str, ...]:
        one = self.summary
        return (
            one.campaign, f"{one.runs:,}", f"{one.events:,}", f"{one.delivered:,}", f"{one.views:,}",
            f"{one.median_view:g}", f"{len(one.failures):,}", f"{self.seconds:,.0f}",
        )


def simulate(
    protocol: str, seeds: int | None = None, first: int = 0, workers: int = 2, json_output: bool = False,
    campaign_name: str = SWARM, dask: str = "",
) -> int:
    """Run one campaign, or all of them. `seeds` is how many numbers from `first` on; None: as many as a thorough
    search takes, of the swarm alone 200; of all campaigns it is the swarm's, and the others have their share.

    Returns 0 if every run held and everything expected was covered, 1 if not. Raises Mistake for numbers that make no
    sense, a protocol or a campaign that does not exist."""
    if seeds is not None and seeds < 1:
        raise Mistake(f"--seeds is {seeds}: run at least 1")
    if first < 0:
        raise Mistake(f"--first is {first}: seeds begin at 0")
    if workers < 1:
        raise Mistake(f"--workers is {workers}: it takes at least 1 process")
    lies = find_protocol(protocol).byzantine
    every = [one for one in CAMPAIGNS.values() if lies or not one.of_lies]
    chosen = every if campaign_name == ALL else [campaign(campaign_name)]
    if not lies and chosen[0].of_lies:
        raise Mistake(
            f"{campaign_name} says nothing about {protocol}: in it {chosen[0].of_lies}, and {protocol} tolerates"
            f" crashes and no lies; choose {', '.join(one.name for one in every)}"
        )
    if len(chosen) > 1 and not json_output:
        for left_out in (one for one in CAMPAIGNS.values() if one not in chosen):
            print(f"{left_out.name} is left out: in it {left_out.of_lies}; {protocol} tolerates crashes and no lies")
    done: list[Timed] = []
    with running.place_of(workers, dask) as place:
        for one in chosen:
            started = time.monotonic()
            count = _count(one, seeds, campaign_name == ALL)
            total = sum(1 for _ in cases(find_protocol(protocol), one, first, count))
            with _progress(protocol, one.name, total, json_output) as progress:
                summary = running.run(protocol, one, first, count, place, progress)
            done.append(Timed(summary, time.monotonic() - started))
    if json_output:
        print(json.dumps(_as_json(protocol, first, done), indent=2))
    else:
        _print(done)
        _keep(protocol, [ran for one in done for ran in one.summary.failures])
    return 0 if all(one.summary.ok for one in done) else 1


def _count(one: Campaign, seeds: int | None, among_all: bool) -> int:
    if seeds is None:
        return SWARM_SEEDS if one.name == SWARM and not among_all else one.amount
    return max(1, one.amount * seeds // CAMPAIGNS[SWARM].amount) if among_all else seeds


@contextmanager
def _progress(protocol: str, name: str, total: int, quiet: bool) -> Iterator[Callable[[Ran], None]]:
    """Tells of failures as they happen and of how far it is: a bar on a terminal, a few lines elsewhere."""
    done = failed = 0

    def failure(ran: Ran) -> str:
        return failing.one_line(command_line(protocol, ran.case), ran.result)

    if quiet or not sys.stdout.isatty():
        every = max(LINE_RUNS_MIN, total // LINES_MAX)

        def tell(ran: Ran) -> None:
            nonlocal done, failed
            done += 1
            failed += not ran.result.ok
            if not quiet and not ran.result.ok:
                print(failure(ran), flush=True)
            if not quiet and done % every == 0 and done < total:
                print(f"{name}: {done} of {total} runs, {failed} failed", flush=True)

        yield tell
        return

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as bar:
        task = bar.add_task(name, total=total)

        def advance(ran: Ran) -> None:
            if not ran.result.ok:
                bar.console.print(failure(ran), markup=False, highlight=False)
            bar.advance(task)

        yield advance


def _print(done: Sequence[Timed]) -> None:
    marks: dict[str, int] = {}
    for one in done:
        for name, amount in one.summary.marks.items():
            marks[name] = marks.get(name, 0) + amount
    print("coverage")
    width = max(map(len, marks), default=0)
    for name, amount in marks.items():
        print(f"  {name:<{width}}  {amount}")
    print_table([COLUMNS, *(one.row() for one in done)])
    for one in done:
        if one.summary.missed:
            print(f"MISSED   {one.summary.campaign}: {', '.join(one.summary.missed)}: so many runs should have seen it")
        elif one.summary.runs < CAMPAIGNS[one.summary.campaign].runs_min:
            least = CAMPAIGNS[one.summary.campaign].runs_min
            print(f"coverage is demanded of {least} runs of {one.summary.campaign} or more")
    failed = sum(len(one.summary.failures) for one in done)
    print(f"{failed} failed" if failed else "every invariant held in every run")


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """The first column to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for name, *numbers in rows:
        cells = [name.ljust(widths[0]), *(text.rjust(width) for text, width in zip(numbers, widths[1:], strict=True))]
        print("  ".join(cells).rstrip())


def _keep(protocol: str, failures: Sequence[Ran]) -> None:
    """Shrink and keep the first few."""
    for ran in failures[: failing.KEPT_MAX]:
        plan = plan_of_case(find_protocol(protocol), ran.case)
        replay_line = command_line(protocol, ran.case)
        print("\n".join([replay_line, *failing.keep(protocol, replay_line, plan, ran.result, file_name(ran.case))]))


def file_name(case: str) -> str:
    """A case as the name of a file, without its suffix."""
    return case.replace(":", "-")


def replay(
    protocol: str, what: str, tail: int | None = None, json_output: bool = False, drawing: Drawing | None = None
) -> int:
    """Run one case again - a seed, a case of a campaign, or a failure's file - and print its plan, its trace (the last
    `tail` lines of it, 0 for all) and the trace's digest. With a `drawing`, write that and print no trace unless `tail`
    asks for it. Returns 1 if the run breaks an invariant. Raises Mistake for a protocol, a case or a file that does not
    exist, or a file that cannot be written."""
    if tail is not None and tail < 0:
        raise Mistake(f"--tail is {tail}: give the number of last lines to print, or 0 for all")
    failure = failing.plan_in(what)
    if failure is not None:
        protocol = failure.protocol
    plan = plan_of_case(find_protocol(protocol), what) if failure is None else failure.smallest
    result = run_plan(protocol, plan, keep_trace=True, chronicle=drawing is not None)
    lines = result.trace if tail == 0 or (tail is None and drawing is None) else result.trace[-tail:] if tail else ()
    drawn = ""
    if drawing is not None and result.chronicle is not None:
        drawn = drawing.write(result.chronicle)
    if json_output:
        told = {"diagram": str(drawing.path)} if drawing is not None else {}
        print(json.dumps({**_run_as_json(protocol, Ran(what, result)), **told, "trace": lines}, indent=2))
        return 0 if result.ok else 1
    out = sys.stdout
    out.write(f"plan     {result.plan}\n")
    out.writelines(line + "\n" for line in lines)
    out.write(f"events   {result.events}\n")
    out.write(f"trace    {result.digest}\n")
    if drawing is not None:
        out.write(f"diagram  {drawing.path}: {drawn}\n")
    out.write(f"result   {_outcome(result)}\n")
    return 0 if result.ok else 1


def _outcome(result: RunResult) -> str:
    return "every invariant held" if result.ok else result.violation


def command_line(protocol: str, case: str) -> str:
    """What replays a run."""
    return f"outvote replay {case} --protocol {protocol}"


def _run_as_json(protocol: str, ran: Ran) -> dict[str, object]:
    result = ran.result
    return {
        "case": ran.case, "seed": result.seed, "ok": result.ok, "violation": result.violation,
        "events": result.events, "digest": result.digest, "marks": result.marks, "plan": result.plan,
        "replay": command_line(protocol, ran.case),
    }


def _as_json(protocol: str, first: int, done: Sequence[Timed]) -> dict[str, object]:
    return {
        "protocol": protocol, "first": first, "ok": all(one.summary.ok for one in done),
        "runs": sum(one.summary.runs for one in done), "events": sum(one.summary.events for one in done),
        "campaigns": [
            {
                "campaign": one.summary.campaign, "runs": one.summary.runs, "events": one.summary.events,
                "messages": one.summary.delivered, "views": one.summary.views,
                "median_view": one.summary.median_view, "seconds": round(one.seconds, 1),
                "marks": one.summary.marks, "missed": one.summary.missed,
            }
            for one in done
        ],
        "failures": [_run_as_json(protocol, ran) for one in done for ran in one.summary.failures],
    }
