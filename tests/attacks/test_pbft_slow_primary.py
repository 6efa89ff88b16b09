"""A primary that is slow but not silent: it keeps every request back until just before the backups lose patience.

Passes, as far as PBFT goes: nothing wrong is answered, no request takes longer than the view timeout allows, and a
primary that is slower than that is deposed. What PBFT does not do is notice one that stays just below it: throughput
falls to one batch a timeout, and `test_a_primary_just_below_the_timer_keeps_its_place` says so.
"""

from __future__ import annotations

import pytest
from puppet import plan, state_of

from outvote.core.contract import Message
from outvote.protocols.catalogue import protocol
from outvote.protocols.pbft.messages import PrePrepare
from outvote.simulator.adversaries import catalogue as behaviours
from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.simulator.world import World
from outvote.types import MILLISECOND, SECOND, Nanos, ReplicaId

TIMEOUT_NS = SECOND  # of the plan: what PbftConfig says by itself


def slow(delay_ns: Nanos) -> type[Behaviour]:
    class KeepsBack(Behaviour):
        """Everything but its proposals leaves in time."""

        def delay(self, receiver: ReplicaId, message: Message) -> Nanos:
            return delay_ns if isinstance(message, PrePrepare) else 0

    return KeepsBack


def attack(delay_ns: Nanos, monkeypatch: pytest.MonkeyPatch, operations: int = 6) -> World:
    monkeypatch.setitem(behaviours.BEHAVIOURS, "keep-back", slow(delay_ns))
    world = World(plan(operations=operations, liars=((0, ("keep-back",)),), faults_end=1), protocol("pbft"))
    world.run()
    return world


@pytest.mark.parametrize("delay_ns", [1200 * MILLISECOND, 3 * SECOND])
def test_a_primary_slower_than_the_timer_is_deposed(delay_ns: Nanos, monkeypatch: pytest.MonkeyPatch) -> None:
    world = attack(delay_ns, monkeypatch)
    assert all(state_of(world, replica).view >= 1 for replica in (1, 2, 3))
    assert world.now < 4 * TIMEOUT_NS, "it cost one timeout, once"


def test_a_primary_just_below_the_timer_keeps_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    calm = attack(0, monkeypatch)
    operations = sum(len(history.history) for history in calm.clients)
    world = attack(900 * MILLISECOND, monkeypatch)
    assert sum(len(history.history) for history in world.clients) == operations, "everything is answered"
    assert all(state_of(world, replica).view == 0 for replica in (1, 2, 3))
    assert world.now < operations * TIMEOUT_NS, "and within the bound"
    assert world.now > 20 * calm.now, "at a price that nobody complains about"
