"""No split brain: whatever way the replicas are parted in two, at most one side goes on, and that with a quorum does.

Every protocol, every split of 3, 4 and 5 replicas; clients reach both sides.
"""

from __future__ import annotations

from itertools import combinations

import pytest

from outvote.core.committee import Committee
from outvote.protocols.catalogue import PROTOCOLS
from outvote.simulator.plan import Plan
from outvote.simulator.world import World
from outvote.types import MILLISECOND, SECOND, Position, ReplicaId

SPLITS = [
    (n, side) for n in (3, 4, 5) for size in range(1, n // 2 + 1) for side in combinations(range(n), size)
    if 2 * size < n or 0 in side
]


def positions(world: World) -> list[Position]:
    return [one.turn.core.standing().position for one in world.replicas if one.turn is not None]


def part(world: World, side: tuple[ReplicaId, ...], apart: bool) -> None:
    change = world.network.cut if apart else world.network.heal
    for one in side:
        for other in range(world.plan.n):
            if other not in side:
                change(one, other)
                change(other, one)


# Without a leader all n - f have to take part: of three replicas every one, where a quorum is two.
CASES = [(name, n, side) for name in sorted(PROTOCOLS) for n, side in SPLITS if n > 3 or not PROTOCOLS[name].deals]


@pytest.mark.parametrize(("name", "n", "side"), CASES)
def test_at_most_one_side_goes_on(name: str, n: int, side: tuple[ReplicaId, ...]) -> None:
    play(name, n, side, {"view_timeout_ms": 800})


WITNESSES = {3: 0b100, 4: 0b1000, 5: 0b11000}


@pytest.mark.parametrize(("n", "side"), SPLITS)
def test_witnesses_count_where_sides_are_counted(n: int, side: tuple[ReplicaId, ...]) -> None:
    """They vote, so one replica with data and half of them may be the side that goes on."""
    play("raft", n, side, {"view_timeout_ms": 800, "witnesses": WITNESSES[n]})


def play(name: str, n: int, side: tuple[ReplicaId, ...], parameters: dict[str, int]) -> None:
    plan = Plan(n=n, clients=2, delay_min=MILLISECOND, faults_end=100 * SECOND, keys=1, parameters=parameters)
    world = World(plan, PROTOCOLS[name])
    world.start()
    world.call(0, [("put", ("a", "1"))])
    world.run_until(3 * SECOND)  # idle replicas tell each other where they stand
    [before] = set(positions(world))
    part(world, side, True)
    for client in (0, 1):
        world.call(client, [("put", ("a", "2"))])
    world.run_until(9 * SECOND)
    ahead = [me for me, position in enumerate(positions(world)) if position > before]
    sides = (side, tuple(one for one in range(n) if one not in side))
    going = [one for one in sides if any(me in one for me in ahead)]
    quorum = Committee(n, PROTOCOLS[name].tolerates).quorum
    assert going == [one for one in sides if len(one) >= quorum]
    assert all(client.finished for client in world.clients) == bool(going)
    part(world, side, False)
    world.run_until(20 * SECOND)
    assert all(client.finished for client in world.clients)
    assert len(set(positions(world))) == 1
