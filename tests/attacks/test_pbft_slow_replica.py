"""One replica is slow for ever: it neither slows decisions down nor is it left behind, and it is never removed.

Every message of it is late by most of a view timeout, and later than the checkpoints of the others. It is no liar; one
plays it, because that is who can be late.
"""

from __future__ import annotations

import pytest
from puppet import plan, state_of

from outvote.protocols.catalogue import protocol
from outvote.simulator.world import World
from outvote.types import SECOND, Nanos

OPERATIONS = 300
SLOW = 2


def run(*sins: str) -> World:
    liars = ((SLOW, sins),) if sins else ()
    world = World(plan(operations=OPERATIONS, liars=liars, faults_end=1), protocol("pbft"))
    world.run()
    return world


def times(world: World) -> list[Nanos]:
    """How long each operation took."""
    return sorted(
        one.returned - one.call for client in world.clients for _, one in client.history if one.returned is not None
    )


@pytest.mark.parametrize("delay_ms", [450, 900, 5000])
def test_one_slow_replica_slows_nothing_down_and_is_not_removed(delay_ms: int) -> None:
    calm, slow = run(), run(f"slow:{delay_ms}")
    middle = len(times(calm)) // 2
    assert len(times(slow)) == OPERATIONS
    assert times(slow)[middle] < 2 * times(calm)[middle]
    assert times(slow)[-1] < SECOND // 2, "nobody waits for it even once"
    assert all(state_of(slow, replica).view == 0 for replica in range(4)), "and no view was changed for it"
    assert state_of(slow, SLOW).delivered >= state_of(slow, 0).low, "it hears everything, and keeps up"
    slow.run_until(slow.now + 30 * SECOND)
    assert state_of(slow, SLOW).delivered == state_of(slow, 0).delivered


def test_it_leads_when_its_turn_comes_and_is_followed_by_a_faster_one() -> None:
    """Nobody is excluded: a slow replica is a slow primary then, and deposed as such."""
    liars = ((0, ("slow:900",)),)
    world = World(plan(operations=OPERATIONS, liars=liars, faults_end=1), protocol("pbft"))
    world.run()
    assert all(state_of(world, replica).view == 1 for replica in (1, 2, 3))
    assert state_of(world, 0).view in (0, 1)
    world.run_until(world.now + 30 * SECOND)
    assert state_of(world, 0).delivered == state_of(world, 1).delivered, "it takes part in the view of the next one"
