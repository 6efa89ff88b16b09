"""Explores the specification and prints what docs/safety.md quotes: `make specification`, some minutes."""

from __future__ import annotations

import time
from collections.abc import Iterator

from exploring import explore
from planted_rules import PLANTED, TRAITORS, first_counterexample

from outvote.protocols.pbft.specification import Specification


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
    for planted in PLANTED:
        found = first_counterexample(planted.rules)
        print(f"\n{planted.what}: {found.broken or 'NOT FOUND'}, {found.states} states")
        for step in found.steps:
            print(f"  {step}")


if __name__ == "__main__":
    main()
