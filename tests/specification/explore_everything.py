"""Explores the specification and prints what docs/safety.md quotes: `make specification`, some minutes."""

from __future__ import annotations

import time
from collections.abc import Iterator

from exploring import explore
from planted_rules import PLANTED, PLANTED_UNPROVEN, TRAITORS, first_counterexample, first_unproven_counterexample

from outvote.protocols.pbft.specification import Specification
from outvote.protocols.pbft.specification_authenticators import AuthenticatorSpecification


def schedules() -> Iterator[tuple[int, ...]]:
    """Primaries of three views that need not follow each other, with replica 0 the traitor; schedules that differ by
    the names of correct replicas are one."""
    for first in (0, 1):
        for second in range(first + 2):
            yield from ((first, second, third) for third in range(max(first, second) + 2))


def main() -> None:
    total = 0
    print("primaries  traitor   states  depth   seconds")
    for leaders, traitor in [((0, 1, 2), one) for one in TRAITORS] + [(one, 0) for one in schedules()]:
        begun = time.perf_counter()
        found = explore(Specification(leaders, (traitor,)))
        assert found.is_complete, found
        total += found.states
        took = time.perf_counter() - begun
        print(f"{leaders!s:10} {traitor:7} {found.states:8} {found.depth:6} {took:9.1f}", flush=True)
    print(f"{total} states, nothing broken")
    print("with authenticators")
    for traitor in TRAITORS:
        found = explore(AuthenticatorSpecification(traitors=(traitor,)))
        assert found.is_complete, found
        print(f"{'(0, 1, 2)':10} {traitor:7} {found.states:8} {found.depth:6}", flush=True)
    for what, choice in PLANTED_UNPROVEN:
        found = first_unproven_counterexample(choice)
        print(f"\n{what}: {found.broken or 'NOT FOUND'}, {found.states} states", *found.steps, sep="\n  ")
    for planted in PLANTED:
        found = first_counterexample(planted.rules)
        print(f"\n{planted.what}: {found.broken or 'NOT FOUND'}, {found.states} states")
        for step in found.steps:
            print(f"  {step}")


if __name__ == "__main__":
    main()
