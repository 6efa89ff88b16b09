"""Twins: identities that run twice, a partition for every view, and who leads it (Bano et al., OPODIS 2021).

The code of both copies is correct, and yet together they equivocate, forget what they promised and vote twice, in
every way that a schedule of partitions can bring about. In PBFT a view lasts as long as it orders requests, so a round
of Twins is a view that is cut short: its partition holds for a slice of time, then nobody hears what is ordered in it
any more, and the view changes. After the last round all is healed and the clients must get their answers. Without a
leader a round is an epoch; it goes on after its slice, since the next one comes only when it has ended.

    random:NUMBER         a scenario drawn at random
    all-ROUNDS:NUMBER     every scenario of 4 identities, one of them twice, with any leaders and up to two sides
    led-ROUNDS:NUMBER     the same with both copies of the twin leading every round

What differs only in the names of correct replicas, or of the two copies, is one scenario; and those are left out in
which more than half of the rounds have no side with a quorum: nothing happens there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import permutations, product
from random import Random
from typing import Final, NamedTuple

from outvote.core import quorums
from outvote.errors import Mistake
from outvote.protocols.catalogue import Protocol
from outvote.simulator.plan import Plan, Split
from outvote.types import MILLISECOND, NEVER, Nanos, ReplicaId

# At 1 ms a message an operation takes 5 ms and a view change 3: one or two decisions a view, some of them half done.
ORDERING_NS: Nanos = 8 * MILLISECOND
CHANGING_NS: Nanos = 40 * MILLISECOND  # the partition holds for that long while a view is changed, then it may succeed
ROUND_NS: Nanos = 120 * MILLISECOND  # of the whole run: a view's two slices, its timeout, a client's retry
VIEW_TIMEOUT_MS: Final = 30
ROUNDS_MAX: Final = 14
EXHAUSTIVE_ROUNDS_MAX: Final = 4  # all-4 would be 16 million scenarios before symmetry

Side = tuple[int, ...]


class Round(NamedTuple):
    """`sides` are of places; copies of the identities in `twins` come behind the n replicas."""

    leader: ReplicaId
    sides: tuple[Side, ...]


class Scenario(NamedTuple):
    n: int
    twins: tuple[ReplicaId, ...]
    rounds: tuple[Round, ...]

    @property
    def identities(self) -> tuple[ReplicaId, ...]:
        """By place."""
        return (*range(self.n), *self.twins)

    def is_idle(self) -> bool:
        """Whether more than half of the rounds have no side that could decide anything."""
        quorum, identities = quorums.quorum(self.n), self.identities
        blocked = sum(
            all(len({identities[place] for place in side}) < quorum for side in one.sides) for one in self.rounds
        )
        return 2 * blocked > len(self.rounds)


def plan_of(protocol: Protocol, scenario: Scenario, seed: int, loss: float = 0.0, delay_mean: Nanos = 0) -> Plan:
    """The run of one scenario."""
    splits: list[Split] = []
    for view, one in enumerate(scenario.rounds):
        first = view * protocol.phases
        ordering, last = first + protocol.ordering_phase, first + protocol.phases - 1
        if protocol.ordering_phase:
            splits.append(Split(first, ordering - 1, one.sides, 0, CHANGING_NS))
        splits.append(Split(ordering, last, one.sides, 0, ORDERING_NS))
        if protocol.led:
            splits.append(Split(ordering, last, (), ORDERING_NS, NEVER))
    rounds = len(scenario.rounds)
    end = rounds * ROUND_NS
    return Plan(
        seed=seed,
        n=scenario.n,
        clients=1,
        operations_each=rounds,  # enough that something is awaited in every view
        operations_after=1,
        client_retry=20 * MILLISECOND,
        keys=1,
        parameters={
            "checkpoint_interval": 2,
            "window": 4,
            "batch_requests_max": 1,
            "pipeline": 4,  # several positions half done: then a new view finds gaps among them
            "view_timeout_ms": VIEW_TIMEOUT_MS,
            "view_timeout_growth_max": 2,  # no round is slept through
            "status_interval_ms": 40,
            "idle_interval_ms": 250,
        },
        loss=loss,
        delay_mean=delay_mean,
        liars=tuple((twin, ()) for twin in scenario.twins),
        twins=scenario.twins,
        leaders=tuple(one.leader for one in scenario.rounds),
        splits=tuple(splits),
        faults_end=end,
        deadline=end + 60_000 * MILLISECOND,
    )


# ---------------------------------------------------------------------- at random


def draw(number: int) -> Scenario:
    """The random scenario of this number."""
    rng = Random(f"twins {number}")
    n = 7 if rng.random() < 0.03 else 4  # seven with two copies cost four times as much
    twins = tuple(sorted(rng.sample(range(n), rng.randint(1, quorums.faults(n)))))
    count = min(rng.randint(4, ROUNDS_MAX) for _ in range(4))  # long ones find more, and cost more
    parts_max = rng.choice((2, 2, 3))
    while True:
        rounds: list[Round] = []
        for _ in range(count):
            # Who runs twice leads every other round: a leader without a copy tells everybody the same.
            leader = rng.choice(twins) if rng.random() < 0.5 else rng.randrange(n)
            repeated = rounds and rng.random() < 0.3
            sides = rounds[-1].sides if repeated else _random_sides(rng, n + len(twins), parts_max)
            rounds.append(Round(leader, sides))
        scenario = Scenario(n, twins, tuple(rounds))
        if not scenario.is_idle():
            return scenario


def _random_sides(rng: Random, places: int, parts_max: int) -> tuple[Side, ...]:
    sides: list[list[int]] = [[] for _ in range(rng.randint(1, parts_max))]
    for place in range(places):
        rng.choice(sides).append(place)
    return tuple(tuple(side) for side in sides if side)


# ---------------------------------------------------------------------- all of them

_N: Final = 4
_TWIN: Final = 0
_PLACES: Final = 5
Symbol = tuple[ReplicaId, int]  # a round: its leader, and as bits the side that place 0 is on


def _renamed(symbol: Symbol, names: Sequence[int]) -> Symbol:
    """The round after a renaming of places; identities 1 to 3 are renamed with their places, the twin is itself."""
    leader, side = symbol
    mapped = sum(1 << names[place] for place in range(_PLACES) if side >> place & 1)
    if not mapped & 1:
        mapped = (1 << _PLACES) - 1 - mapped
    return (_TWIN if leader == _TWIN else names[leader]), mapped


def _round_of_symbol(symbol: Symbol) -> Round:
    leader, bits = symbol
    here = tuple(place for place in range(_PLACES) if bits >> place & 1)
    there = tuple(place for place in range(_PLACES) if not bits >> place & 1)
    return Round(leader, (here, there) if there else (here,))


@lru_cache(maxsize=4)
def every(rounds: int, led_by_twin: bool) -> tuple[Scenario, ...]:
    """All scenarios of so many rounds, one of each symmetry class. Raises Mistake for too many rounds."""
    maximum = EXHAUSTIVE_ROUNDS_MAX if led_by_twin else EXHAUSTIVE_ROUNDS_MAX - 1
    if not 1 <= rounds <= maximum:
        raise Mistake(f"all scenarios of {rounds} rounds are too many (or too few): choose 1 to {maximum}")
    symbols: list[Symbol] = [
        (leader, 1 | other << 1)
        for leader in ((_TWIN,) if led_by_twin else range(_N)) for other in range(1 << (_PLACES - 1))
    ]
    renamings = [
        {symbol: _renamed(symbol, (copy, *honest, 4 - copy)) for symbol in symbols}
        for honest in permutations((1, 2, 3)) for copy in (0, 4)
    ]
    found: list[Scenario] = []
    for chosen in product(symbols, repeat=rounds):
        if any(tuple(names[symbol] for symbol in chosen) < chosen for names in renamings):
            continue
        scenario = Scenario(_N, (_TWIN,), tuple(map(_round_of_symbol, chosen)))
        if not scenario.is_idle():
            found.append(scenario)
    return tuple(found)


# ---------------------------------------------------------------------- by name


def plan(protocol: Protocol, name: str) -> Plan:
    """The run that `random:17` or `all-2:300` stands for. Raises Mistake for another text."""
    kind, _, text = name.partition(":")
    form, _, size = kind.partition("-")
    if not text.isdecimal() or (form != "random" and not size.isdecimal()):
        raise Mistake(f"{name!r} is no Twins scenario: write random:NUMBER, all-ROUNDS:NUMBER or led-ROUNDS:NUMBER")
    number = int(text)
    if kind == "random":
        rng = Random(f"twins network {number}")
        loss = 0.03 if rng.random() < 0.2 else 0.0
        delay_mean = rng.choice((0, 0, 1, 3)) * MILLISECOND
        return plan_of(protocol, draw(number), number, loss, delay_mean).but(outstanding=rng.choice((1, 3)))
    if form not in ("all", "led"):
        raise Mistake(f"{name!r} is no Twins scenario: {form!r} is neither random, all nor led")
    scenarios = every(int(size), form == "led")
    if number >= len(scenarios):
        raise Mistake(f"{name!r}: there are {len(scenarios)} scenarios {kind}, counted from 0")
    return plan_of(protocol, scenarios[number], number)


def cases(first: int, count: int) -> Iterator[str]:
    """`count` random scenarios; from the first number on also every small one."""
    if first == 0:
        for kind, scenarios in (("all-2", every(2, False)), ("led-3", every(3, True))):
            yield from (f"{kind}:{number}" for number in range(len(scenarios)))
    yield from (f"random:{number}" for number in range(first, first + count))
