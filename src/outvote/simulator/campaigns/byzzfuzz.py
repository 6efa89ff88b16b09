"""ByzzFuzz: a few rounds with network faults, a few in which the faulty replica's messages are changed, then calm
(Winter et al., OOPSLA 2023).

    CHANGES-PARTITIONS-SCOPE:NUMBER      2-1-small:17

Rounds are those of the protocol (`round_of`), not of the clock: one fault strikes one step of one view, wherever in the
run that is. After the faults the world heals, and every client must get its answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Final

from outvote.errors import Mistake
from outvote.protocols.catalogue import Protocol
from outvote.simulator.adversaries.mutator import ANY, SMALL
from outvote.simulator.plan import Plan, Split
from outvote.types import MILLISECOND, SECOND

FAULTS_MAX: Final = 2  # rounds of either kind: the flaws that were found took no more
SCOPES: Final = ("small", "any")
# Three views and their changes: the papers' flaws all lie within so many.
VIEWS: Final = 3
N: Final = 4


def grid() -> list[str]:
    """Every cell once: without changes there is only one scope."""
    return [
        f"{changes}-{partitions}-{scope}"
        for changes in range(FAULTS_MAX + 1) for partitions in range(FAULTS_MAX + 1)
        for scope in (SCOPES if changes else SCOPES[:1])
    ]


def plan(protocol: Protocol, name: str) -> Plan:
    """The run that `2-1-small:17` stands for. Raises Mistake for another text."""
    cell, _, text = name.partition(":")
    if cell not in grid() or not text.isdecimal():
        raise Mistake(f"{name!r} is no ByzzFuzz case: write CELL:NUMBER with a cell of {', '.join(grid())}")
    changes, partitions, scope = cell.split("-")
    number = int(text)
    rng = Random(f"byzzfuzz {cell} {number}")
    first, last = protocol.ordering_phase, VIEWS * protocol.phases - 1  # view 0 needs no change to it

    def draw_round() -> int:
        return min(rng.randint(first, last), rng.randint(first, last))  # later views are seldom reached

    liar = rng.randrange(N)
    sins = tuple(_sin(rng, draw_round(), scope, liar) for _ in range(int(changes)))
    splits = [_split(rng, draw_round()) for _ in range(int(partitions))]
    return Plan(
        seed=number,
        n=N,
        clients=2,
        operations_each=3,
        operations_after=1,
        outstanding=rng.choice((1, 2)),
        client_retry=50 * MILLISECOND,
        keys=rng.choice((1, 2)),
        parameters={
            "checkpoint_interval": 2,
            "window": 4,
            "batch_requests_max": rng.choice((1, 8)),
            "view_timeout_ms": 60,
            "status_interval_ms": 50,
            "idle_interval_ms": 500,
        },
        delay_mean=rng.choice((0, 1, 5)) * MILLISECOND,
        liars=((liar, sins),),
        splits=tuple(splits),
        faults_end=2 * SECOND,
        deadline=62 * SECOND,
    )


def _sin(rng: Random, number: int, scope: str, liar: int) -> str:
    others = [one for one in range(N) if one != liar]
    targets = sorted(rng.sample(others, rng.randint(1, len(others))))
    kind = ANY if scope == "any" else rng.choice(SMALL)
    return f"mutate:{number}.{kind}.{rng.randrange(10**6)}@{'.'.join(map(str, targets))}"


def _split(rng: Random, number: int) -> Split:
    """A random partition of the replicas into any number of sides; together in one would be none."""
    while True:
        sides: dict[int, list[int]] = {}
        for place in range(N):
            sides.setdefault(rng.randrange(N), []).append(place)
        if len(sides) > 1:
            return Split(number, number, tuple(tuple(side) for side in sides.values()))


def cases(first: int, count: int) -> Iterator[str]:
    """`count` runs of every cell, the cells in turn: a short soak is to see them all."""
    for number in range(first, first + count):
        yield from (f"{cell}:{number}" for cell in grid())
