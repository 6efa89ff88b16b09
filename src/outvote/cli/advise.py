"""`outvote advise`: asks, measures this machine, and says which replication a service needs, at what price."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from outvote.cli import endings
from outvote.cli.advice import (
    BFT,
    CHECKSUMS,
    RAFT,
    Advice,
    Answers,
    Choice,
    advise,
    choices,
    how_to_run,
    over_budget,
)
from outvote.cli.advise_clusters import Measured, run_clusters
from outvote.cli.bench_paper import costs_here
from outvote.errors import Mistake
from outvote.protocols.pbft.performance_model import Costs

ATTEMPTS_MAX: Final = 3  # at an answer


class Question(NamedTuple):
    """`name` is the option without its dashes; `number` of one that is answered by a number."""

    name: str
    text: str
    number: bool = False


QUESTIONS: Final = (
    Question("several-owners", "Do different owners run the machines, who do not have to trust each other?"),
    Question("adversary", "Could somebody take over some of the machines, or gain by a wrong answer?"),
    Question("regulation", "Does a regulation or a safety case demand that a lying component is outvoted?"),
    Question("accidents", "Is corruption by accident a worry: flipped bits, disks, firmware, mixed versions?"),
    Question("trusted-hardware", "Do all machines have trusted hardware that attests what they run?"),
    Question("same-code", "Do all machines run the same program?"),
    Question("latency-ms", "How many milliseconds may an operation take? (0: no budget)", number=True),
)


def run_advice(
    given: Mapping[str, bool | float | None], rest: Answers, measure: bool, clusters: bool, as_json: bool
) -> int:
    """`given`: by the questions' names, None where nothing was said; `rest` holds the other numbers.

    Exit code 1: what is needed does not keep the budget. Raises Mistake.
    """
    rest.check()
    if clusters and not measure:
        raise Mistake("--clusters measures: leave out --no-measure")
    said = _complete(given)
    told = rest._replace(
        several_owners=bool(said["several-owners"]), adversary=bool(said["adversary"]),
        regulation=bool(said["regulation"]), accidents=bool(said["accidents"]),
        trusted_hardware=bool(said["trusted-hardware"]), same_code=bool(said["same-code"]),
        latency_ms=float(said["latency-ms"]),
    )
    advice = advise(told)
    costs = _measured() if measure else None
    table = choices(told, costs) if costs is not None else []
    run = _run(table) if clusters else {}
    broken = [text for one in table if one.answer == advice.answer for text in over_budget(told, one)]
    if as_json:
        print(json.dumps({
            **told._asdict(), **advice._asdict(), "over_budget": broken,
            "choices": [one._asdict() for one in table], "costs_s": costs._asdict() if costs is not None else None,
            "run_here": {answer: one._asdict() for answer, one in run.items()},
        }))
    else:
        for line in _lines(told, advice, table, broken, costs, run):
            print(line)
    return endings.NEGATIVE if broken else endings.DONE


def _complete(given: Mapping[str, bool | float | None]) -> dict[str, bool | float]:
    """Asks for what was not given, if somebody is there to answer."""
    missing = [question for question in QUESTIONS if given.get(question.name) is None]
    if missing and not sys.stdin.isatty():
        options = ", ".join(
            f"--{one.name} N" if one.number else f"--{one.name} or --no-{one.name}" for one in missing
        )
        raise Mistake(f"nobody is there to be asked: answer with {options}")
    said = {name: answer for name, answer in given.items() if answer is not None}
    for question in missing:
        said[question.name] = _ask(question)
    return said


def _ask(question: Question) -> bool | float:
    """On standard error, so that standard output holds the answer alone."""
    hint = "" if question.number else " [y/n]"
    for _ in range(ATTEMPTS_MAX):
        print(f"{question.text}{hint} ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            break
        word = line.strip().lower()
        if question.number:
            try:
                return float(word)
            except ValueError:
                continue
        if word in ("y", "yes", "n", "no"):
            return word.startswith("y")
    raise Mistake(f"no answer to --{question.name}: write {'a number' if question.number else 'y or n'}")


def _measured() -> Costs:
    with tempfile.TemporaryDirectory(prefix="outvote-advise-") as folder:
        return costs_here(Path(folder))


def _run(table: list[Choice]) -> dict[str, Measured]:
    """Each on this machine; the single one is a replica that waits for nobody."""
    protocols = {BFT: "pbft", RAFT: "raft", CHECKSUMS: "raft"}
    sizes = {one.answer: (protocols[one.answer], one.replicas) for one in table}
    with tempfile.TemporaryDirectory(prefix="outvote-advise-") as folder:
        return run_clusters(Path(folder), sizes)


def _lines(
    told: Answers, advice: Advice, table: list[Choice], broken: list[str], costs: Costs | None,
    run: Mapping[str, Measured],
) -> list[str]:
    lines = [f"Answer: {advice.answer}"]
    lines += [f"  because {reason}" for reason in advice.reasons]
    lines += [f"  but mind: {caution}" for caution in advice.cautions]
    lines.append(f"  begin with: {how_to_run(advice, told.faults)}")
    if costs is None:
        return lines
    lines += [
        "",
        f"To bear {told.faults}, with machines {told.round_trip_ms:g} ms apart (there and back):",
        f"  {'':26}{'replicas':>9}{'quorum':>8}{'messages':>10}{'delays':>8}{'ms':>8}{'operations/s':>14}",
    ]
    lines += [
        f"  {one.answer:<26}{one.replicas:>9}{one.quorum:>8}{one.messages:>10}{one.delays:>8}{one.latency_ms:>8.2f}"
        f"{one.operations_per_s:>14.0f}{'   <- advised' if one.answer == advice.answer else ''}"
        for one in table
    ]
    lines += [
        "  ms and operations/s (64 outstanding, each its own request) are a model's, each machine as fast as this one.",
        "  Measured here, in microseconds:",
        f"  signature {costs.signature_s * 1e6:.0f}, verification {costs.verification_s * 1e6:.0f}, digest "
        f"{costs.digest_s * 1e6:.1f}, message between two processes {costs.message_s * 1e6:.0f}, log write "
        f"{costs.sync_s * 1e6:.0f} (in {tempfile.gettempdir()})",
    ]
    if run:
        lines.append("  Run here, replicas and client on this machine's cores, requests bundled by the client:")
        lines += [
            f"    {answer:<26}{one.latency_ms:>8.2f} ms{one.operations_per_s:>10.0f} operations/s"
            for answer, one in run.items()
        ]
    if broken:
        lines += ["", *(f"Over budget: {text}" for text in broken)]
    elif told.latency_ms or told.operations:
        lines += ["", "The budget is kept."]
    return lines
