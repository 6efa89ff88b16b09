"""A primary that is slow but not silent: it keeps every request back until just before the backups lose patience.

Passes, as far as PBFT goes: nothing wrong is answered, no request takes longer than the view timeout allows, and a
primary that is slower than that is deposed. What PBFT does not do is notice one that stays just below it: throughput
falls to one batch a timeout, and `test_a_primary_just_below_the_timer_keeps_its_place` says so.
"""

from __future__ import annotations

import pytest
from puppet import plan, state_of

from outvote.protocols.catalogue import protocol
from outvote.simulator.world import World
from outvote.types import SECOND

TIMEOUT_NS = SECOND  # of the plan: what PbftConfig says by itself


def attack(delay_ms: int, operations: int = 6) -> World:
    liars = ((0, (f"slow-proposals:{delay_ms}",)),)
    world = World(plan(operations=operations, liars=liars, faults_end=1), protocol("pbft"))
    world.run()
    return world


@pytest.mark.parametrize("delay_ms", [1200, 3000])
def test_a_primary_slower_than_the_timer_is_deposed(delay_ms: int) -> None:
    world = attack(delay_ms)
    assert all(state_of(world, replica).view >= 1 for replica in (1, 2, 3))
    assert world.now < 4 * TIMEOUT_NS, "it cost one timeout, once"


def test_a_primary_just_below_the_timer_keeps_its_place() -> None:
    calm = attack(0)
    operations = sum(len(history.history) for history in calm.clients)
    world = attack(900)
    assert sum(len(history.history) for history in world.clients) == operations, "everything is answered"
    assert all(state_of(world, replica).view == 0 for replica in (1, 2, 3))
    assert world.now < operations * TIMEOUT_NS, "and within the bound"
    assert world.now > 20 * calm.now, "at a price that nobody complains about"
