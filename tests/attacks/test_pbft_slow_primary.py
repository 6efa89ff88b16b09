"""A primary that is slow but not silent: it keeps every request back until just before the backups lose patience.

Passes when nothing wrong is answered, no request takes longer than the view timeout allows, a primary that is slower
than that is deposed by the timer, and one that stays below it by what it owes (I21): what it costs in all is bounded,
however many requests follow.
"""

from __future__ import annotations

from functools import cache

import pytest
from puppet import plan, state_of

from outvote.protocols.catalogue import protocol
from outvote.simulator.world import World
from outvote.types import SECOND, Nanos

TIMEOUT_NS = SECOND  # of the plan: what PbftConfig says by itself
OPERATIONS = 1500


def attack(delay_ms: int, operations: int = 6) -> World:
    liars = ((0, (f"slow-proposals:{delay_ms}",)),)
    world = World(plan(operations=operations, liars=liars, faults_end=1), protocol("pbft"))
    world.run()
    return world


@cache
def calm_ns() -> Nanos:
    """What all the operations take without a delay."""
    return attack(0, OPERATIONS).now


@pytest.mark.parametrize("delay_ms", [1200, 3000])
def test_a_primary_slower_than_the_timer_is_deposed(delay_ms: int) -> None:
    world = attack(delay_ms)
    assert all(state_of(world, replica).view >= 1 for replica in (1, 2, 3))
    assert world.now < 4 * TIMEOUT_NS, "it cost one timeout, once"


@pytest.mark.parametrize("delay_ms", [50, 500, 900])
def test_a_primary_just_below_the_timer_is_deposed_for_what_it_owes(delay_ms: int) -> None:
    world = attack(delay_ms, OPERATIONS)
    assert all(state_of(world, replica).view == 1 for replica in (1, 2, 3)), "once, and then all is well"
    waits = 16 * TIMEOUT_NS  # a single client shows one request in sixteen: at 900 ms each, the third of them tells
    assert world.now < calm_ns() + 3 * waits
    settled = [one.returned for _, one in world.clients[0].history][OPERATIONS // 2 :]
    assert settled[-1] is not None
    assert settled[0] is not None
    assert settled[-1] - settled[0] < 2 * calm_ns() // 2, "I21: at least half of the calm throughput"


def test_an_honest_primary_keeps_its_place() -> None:
    world = attack(0, OPERATIONS)
    assert all(state_of(world, replica).view == 0 for replica in range(4))
    assert all(not state_of(world, replica).performance.complained for replica in range(4))
