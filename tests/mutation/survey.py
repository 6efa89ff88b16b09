"""`make mutants`: plant every small fault in the protocol, its building blocks and the machines; list what survives.

Usage: survey.py [--protocol raft] [--module core.tally] [--function Tally.add] [--sample 100 --seed 7] [--again]

The whole survey writes docs/mutants.md. A part of it only prints. Verdicts are kept in build/mutants.json; `--again`
judges only those that survived the last time, and new ones.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from killers import FAST_TESTS, RAFT_TESTS, SIMULATION, SURVIVED, TESTS, TIME, Hunt, Verdict
from mutants import RAFT_SUBJECTS, ROOT, SUBJECTS, Mutant, modules, mutants_of

EXPLANATIONS: Final = Path(__file__).with_name("survivors.toml")
PAGE: Final = ROOT / "docs" / "mutants.md"
KEPT: Final = ROOT / "build" / "mutants.json"
KINDS: Final = {
    "equivalent": "no input tells it from the original",
    "cost": "only time, memory or the number of messages differ, within the same limits",
    "text": "only what people read differs",
    "limit": "a limit that is generous on purpose moves by one",
}


class Explanation(NamedTuple):
    """Why some mutants survive."""

    kind: str
    reason: str


def explanations() -> dict[str, Explanation]:
    """By the mutant's key. Raises ValueError for an unknown kind or a key that stands twice."""
    found: dict[str, Explanation] = {}
    for entry in tomllib.loads(EXPLANATIONS.read_text())["survivor"]:
        if entry["kind"] not in KINDS:
            raise ValueError(f"{entry['kind']} is no kind: choose one of {', '.join(KINDS)}")
        for change in entry["changes"]:
            key = f"{entry['function']}: {change}"
            if key in found:
                raise ValueError(f"explained twice: {key}")
            found[key] = Explanation(entry["kind"], " ".join(entry["reason"].split()))
    return found


def every_mutant(protocol: str = "pbft") -> list[Mutant]:
    subjects = SUBJECTS if protocol == "pbft" else RAFT_SUBJECTS
    return [mutant for module in modules(subjects) for mutant in mutants_of(module)]


def chosen(arguments: argparse.Namespace, kept: Mapping[str, Verdict]) -> list[Mutant]:
    """The mutants that the options ask for."""
    found = every_mutant(arguments.protocol)
    if arguments.module:
        found = [mutant for mutant in found if mutant.module.startswith(arguments.module)]
    if arguments.function:
        found = [mutant for mutant in found if mutant.function == arguments.function]
    if arguments.only:
        found = [mutant for mutant in found if mutant.key in arguments.only]
    if arguments.again:
        found = [mutant for mutant in found if kept.get(mutant.key, Verdict(SURVIVED, "")).outcome == SURVIVED]
    if arguments.sample:
        found = random.Random(arguments.seed).sample(found, min(arguments.sample, len(found)))
    return found


def kept_verdicts(path: Path) -> dict[str, Verdict]:
    if not path.exists():
        return {}
    return {key: Verdict(*verdict) for key, verdict in json.loads(path.read_text()).items()}


def keep(path: Path, verdicts: Mapping[str, Verdict]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(verdicts, indent=0))


def table(title: str, names: Iterable[str], outcomes: Mapping[str, Counter[str]]) -> list[str]:
    lines = [f"| {title} | Mutants | By tests | By time | By simulation | Survived | Killed |", "|---" * 7 + "|"]
    total: Counter[str] = Counter()
    for name in names:
        total += outcomes[name]
        lines.append(row(name, outcomes[name]))
    return [*lines, row("all", total)]


def row(name: str, counts: Counter[str]) -> str:
    every = sum(counts.values())
    numbers = " | ".join(str(counts[outcome]) for outcome in (TESTS, TIME, SIMULATION, SURVIVED))
    return f"| {name} | {every} | {numbers} | {100 * (every - counts[SURVIVED]) / max(1, every):.1f} % |"


def page(mutants: Sequence[Mutant], verdicts: Mapping[str, Verdict], told: Mapping[str, Explanation]) -> str:
    by_module: dict[str, Counter[str]] = {}
    by_operator: dict[str, Counter[str]] = {}
    for mutant in mutants:
        outcome = verdicts[mutant.key].outcome
        by_module.setdefault(mutant.module, Counter())[outcome] += 1
        by_operator.setdefault(mutant.operator, Counter())[outcome] += 1
    survivors = [mutant for mutant in mutants if verdicts[mutant.key].outcome == SURVIVED]
    kinds = Counter(told[mutant.key].kind if mutant.key in told else "not explained" for mutant in survivors)
    lines = [
        "# Mutants", "",
        "Made by `make mutants`; do not edit. Small faults are planted one at a time in the protocol, its building",
        "blocks and the machines, and the fast tests and then 40 simulated runs have to notice each. What survives is",
        "explained in `tests/mutation/survivors.toml`. Left out is what no replica runs: the instruments of the",
        "simulator's liars, checkers and schedules, and `machines/determinism.py`, the trial of `outvote check`. Why",
        "the tool is our own is told in",
        "[decision 11](decisions/0011-mutants-planted-by-our-own-tool.md).", "",
        "## By module", "", *table("Module", by_module, by_module), "",
        "## By operator", "", *table("Operator", sorted(by_operator), by_operator), "",
        "## Survivors", "", "| Kind | Number | Meaning |", "|---|---|---|",
        *(f"| {kind} | {kinds[kind]} | {meaning} |" for kind, meaning in KINDS.items()),
    ]
    if kinds["not explained"]:
        lines.append(f"| not explained | {kinds['not explained']} | to be looked at |")
    lines += listed(survivors, told)
    return "\n".join(lines) + "\n"


def listed(survivors: Sequence[Mutant], told: Mapping[str, Explanation]) -> list[str]:
    """Grouped by module; under each reason the mutants that it explains."""
    lines: list[str] = []
    module = ""
    groups: dict[tuple[str, Explanation], list[Mutant]] = {}
    for mutant in survivors:
        groups.setdefault((mutant.module, told.get(mutant.key, Explanation("not explained", ""))), []).append(mutant)
    for (name, explanation), members in groups.items():
        if name != module:
            lines += ["", f"### {name}", ""]
            module = name
        lines.append(f"- **{explanation.kind}**: {explanation.reason}")
        for mutant in members:
            place = f"`{mutant.function}`, " if mutant.function else ""
            lines.append(f"  - {place}`` {mutant.source} ``: {mutant.operator}, `` {mutant.change} ``")
    return lines


def survey(arguments: argparse.Namespace) -> int:
    kept = kept_verdicts(arguments.verdicts)
    mutants = chosen(arguments, kept)
    told = explanations()
    verdicts: dict[str, Verdict] = {}
    tests = FAST_TESTS if arguments.protocol == "pbft" else RAFT_TESTS
    hunt = Hunt(arguments.tests or tests, not arguments.without_simulation, arguments.protocol)
    output = os.fdopen(os.dup(1), "w")

    def heard(mutant: Mutant, verdict: Verdict) -> None:
        verdicts[mutant.key] = verdict
        if verdict.outcome == SURVIVED and (arguments.all or mutant.key not in told):
            print(f"survived  {mutant.key}  [{mutant.source}]  ({verdict.by})", file=output, flush=True)
        elif arguments.all:
            print(f"{verdict.outcome}  {mutant.key}  ({verdict.by})", file=output, flush=True)
        if len(verdicts) % 25 == 0:
            keep(arguments.verdicts, {**kept, **verdicts})
            print(f"{len(verdicts)} of {len(mutants)}", file=sys.stderr, flush=True)

    hunt.verdicts(mutants, heard)
    outcomes: dict[str, Counter[str]] = {}
    for mutant in mutants:
        outcomes.setdefault(mutant.module, Counter())[verdicts[mutant.key].outcome] += 1
    print("\n".join(table("Module", outcomes, outcomes)), file=output, flush=True)
    keep(arguments.verdicts, {**kept, **verdicts})
    every = every_mutant(arguments.protocol)
    verdicts = {**kept, **verdicts}
    part = arguments.module or arguments.function or arguments.only or arguments.sample or arguments.tests
    if not part and arguments.protocol == "pbft" and all(one.key in verdicts for one in every):
        PAGE.write_text(page(every, verdicts, told))
        print(f"{PAGE.relative_to(ROOT)} is written", file=output, flush=True)
    silent = [one for one in mutants if verdicts[one.key].outcome == SURVIVED and one.key not in told]
    return 1 if silent else 0


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Plant small faults and see which ones nobody notices.")
    parser.add_argument("--protocol", choices=("pbft", "raft"), default="pbft", help="raft: its folder, only printed")
    parser.add_argument("--module", default="", help="only modules that begin so: protocols.pbft, core.tally")
    parser.add_argument("--function", default="", help="only this function: State.low")
    parser.add_argument("--only", nargs="*", help="only these, by the names under which survivors are printed")
    parser.add_argument("--sample", type=int, default=0, help="only so many, drawn by --seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", action="store_true", help="only those that survived the last time, and new ones")
    parser.add_argument("--all", action="store_true", help="print every verdict, not only new survivors")
    parser.add_argument("--without-simulation", action="store_true")
    parser.add_argument("--tests", nargs="*", help="other tests than the fast ones")
    parser.add_argument("--verdicts", type=Path, default=KEPT, help="where they are kept from one survey to the next")
    return parser


def main() -> int:
    os.chdir(ROOT)
    source = str(ROOT / "src")
    sys.path.insert(0, source)
    os.environ["PYTHONPATH"] = source
    return survey(options().parse_args())


if __name__ == "__main__":
    sys.exit(main())
