"""The primary orders with a quorum and keeps one honest replica in the dark; then the work stops.

Schedule: replica 0 leads, sends nothing to 3 and answers no client. 3 alone (fewer than f + 1) cannot depose it, and
no checkpoint comes that would rescue it. Passes if 3 catches up within 20 view timeouts all the same, and every
operation was answered. (There is no read-only path yet; with one, 3's answer would be needed as well.)
"""

from __future__ import annotations

import pytest
from puppet import plan, state_of

from outvote.core.contract import Message
from outvote.protocols.catalogue import protocol
from outvote.simulator.adversaries import catalogue as behaviours
from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.simulator.world import World
from outvote.types import SECOND, ClientId, ReplicaId
from outvote.wire.client_messages import ReplyStatement


class KeepsThreeInTheDark(Behaviour):
    """Orders with 1 and 2, tells 3 nothing, and answers no client: then 3 alone cannot depose it."""

    def speak(self, receiver: ReplicaId, message: Message) -> list[Message]:
        return [] if receiver == 3 else [message]

    def answer(self, client: ClientId, statement: ReplyStatement) -> ReplyStatement | None:
        return None


def test_a_replica_kept_in_the_dark_catches_up_while_all_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(behaviours.BEHAVIOURS, "keep-3-in-the-dark", KeepsThreeInTheDark)
    chosen = plan(operations=5, liars=((0, ("keep-3-in-the-dark",)),), interval=16, faults_end=SECOND // 100)
    world = World(chosen, protocol("pbft"))
    world.run()
    assert state_of(world, 1).delivered > state_of(world, 3).delivered, "nobody told 3, and no checkpoint will"
    assert state_of(world, 1).view == 0
    world.run_until(world.now + 20 * SECOND)
    assert state_of(world, 3).delivered == state_of(world, 1).delivered
    assert state_of(world, 3).low == 0, "it was told of the decisions, no state was fetched"
