"""`make kill-matrix`: plants every bug in turn and counts the seeds until the swarm misses the rule.

Five batches of seeds, each from another place, so that the median says something; a batch gives up after BUDGET_RUNS.
Writes kill_matrix.toml beside this file, from which the tests know where to look, and docs/kill_matrix.md.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tomllib
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

HERE: Final = Path(__file__).resolve().parent
TESTS: Final = HERE.parent
for folder in ("attacks", "client", "conformance", "crypto", "host", "machines", "papers", "protocols", "wire", "core"):
    if str(TESTS / folder) not in sys.path:
        sys.path.append(str(TESTS / folder))

import pytest  # noqa: E402
import tomli_w  # noqa: E402
from planted.catalogue import EQUIVALENT, NOT_YET, SCRIPTS, SWARM  # noqa: E402

from outvote.simulator.runs import run_seed  # noqa: E402
from outvote.simulator.shrink import invariant_of  # noqa: E402

BATCHES: Final = 5
BATCH_SEEDS: Final = 10_000  # from one batch's first seed to the next one's
BUDGET_RUNS: Final = 300  # a batch that needs more has not found it
DATA: Final = HERE / "kill_matrix.toml"
DOCUMENT: Final = TESTS.parent / "docs" / "kill_matrix.md"


class Survey(NamedTuple):
    """One bug. `seeds` has a batch's number of runs up to the kill, 0 for not within the budget."""

    seeds: tuple[int, ...]
    start: int  # not far from the first seed that found it
    killers: dict[str, int]  # which invariant, in how many batches

    @property
    def median(self) -> float:
        """A batch without a kill counts as one more than the budget."""
        return statistics.median(one or BUDGET_RUNS + 1 for one in self.seeds)


def survey(index: int) -> tuple[str, Survey]:
    bug = SWARM[index]
    counts: list[int] = []
    killers: Counter[str] = Counter()
    start = -1
    with pytest.MonkeyPatch.context() as patch:
        bug.plant(patch)
        for batch in range(BATCHES):
            first = batch * BATCH_SEEDS
            count = 0
            for seed in range(first, first + BUDGET_RUNS):
                result = run_seed("pbft", seed)
                if not result.ok:
                    count = seed - first + 1
                    killers[invariant_of(result.violation)] += 1
                    start = max(first, seed - 5) if start < 0 else start
                    break
            counts.append(count)
    return bug.name, Survey(tuple(counts), max(0, start), dict(killers))


def read_survey() -> dict[str, Survey]:
    if not DATA.exists():
        return {}
    rows = tomllib.loads(DATA.read_text())
    return {
        name: Survey(tuple(row["seeds"]), row["start"], dict(row["killers"])) for name, row in rows.items()
    }


def document(found: Mapping[str, Survey]) -> str:
    """docs/kill_matrix.md."""
    lines = [
        "# Kill matrix", "",
        "Made by `make kill-matrix`. Each bug turns off one rule of the replica, the host or the client; the simulator",
        "must notice. A bug counts as killed when a run breaks an invariant with it and holds without it.", "",
        f"Runs until the kill in {BATCHES} batches of fresh seeds, of at most {BUDGET_RUNS} runs each (the budget);"
        " `-` is a batch that", "did not find it. *No.* is the number in the project's list of bugs to plant. A seed is"
        " another run once the swarm draws", "anything new, so these are the numbers of the day of the survey;"
        " that each bug is found today is what the tests show.", "",
        "| Bug | No. | What it turns off | Killed by | Runs in each batch | Median |", "|---|---|---|---|---|---|",
    ]
    for bug in SWARM:
        row = found.get(bug.name)
        if row is None:
            continue
        killers = ", ".join(f"{name} ({count})" for name, count in sorted(row.killers.items(), key=lambda one: -one[1]))
        runs = " ".join(str(one) if one else "-" for one in row.seeds)
        median = f"{row.median:.0f}" if row.median <= BUDGET_RUNS else f"over {BUDGET_RUNS}"
        lines.append(
            f"| `{bug.name}` | {bug.listed or ''} | {told(bug.plant)} | {killers or 'nothing'} | {runs} | {median} |"
        )
    lines += [
        "", "## Killed by a script", "",
        "Rules that chance misses rarely, or that no run of a cluster can miss: each has a test that fails once the bug"
        " is", "planted (tests/conformance/test_planted_bugs.py).", "",
        "| Bug | No. | What it turns off |", "|---|---|---|",
    ]
    lines += [f"| `{bug.name}` | {bug.listed or ''} | {told(bug.plant)} |" for bug in SCRIPTS]
    lines += ["", "## Argued equivalent", ""]
    lines += [f"- {title}: {argument}" for title, argument in EQUIVALENT.items()]
    if NOT_YET:
        lines += ["", "## Not planted yet", "", "What they would break is not built:", ""]
    lines += [f"- No. {number}: {what}" for number, what in NOT_YET.items()]
    return "\n".join(lines) + "\n"


def told(plant: object) -> str:
    text = (getattr(plant, "__doc__", None) or str(getattr(plant, "__name__", ""))).strip().split("\n")[0]
    return text.replace("_", " ").rstrip(".")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", nargs="*", help="names of bugs; the others keep what was found before")
    given = parser.parse_args()
    chosen = [index for index, bug in enumerate(SWARM) if not given.only or bug.name in given.only]
    found = {name: row for name, row in read_survey().items() if name in {bug.name for bug in SWARM}}
    with ProcessPoolExecutor(given.workers) as pool:
        for name, row in pool.map(survey, chosen):
            found[name] = row
            print(f"{name:45} {row.seeds} {row.killers}", flush=True)
    ordered = {bug.name: found[bug.name] for bug in SWARM if bug.name in found}
    DATA.write_text(tomli_w.dumps({
        name: {"seeds": list(row.seeds), "start": row.start, "killers": row.killers} for name, row in ordered.items()
    }))
    DOCUMENT.write_text(document(ordered))


if __name__ == "__main__":
    main()
