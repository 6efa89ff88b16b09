"""The primary orders with a quorum and keeps one honest replica in the dark; then the work stops.

Schedule: replica 0 leads, sends nothing to 3 and answers no client. 3 alone (fewer than f + 1) cannot depose it, and
no checkpoint comes that would rescue it. Passes if 3 catches up within 20 view timeouts all the same, and every
operation was answered. With reads beside the order each answer needs 3's word as well, and has it as soon as the client
asks again, since 1 and 2 then push what was decided.

The other half: a replica that really is behind and a liar that agrees with it must not make a read.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from puppet import plan, state_of

from outvote.core.contract import Message
from outvote.machines.operations import encode_done
from outvote.protocols.catalogue import protocol
from outvote.simulator.adversaries import catalogue as behaviours
from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.simulator.world import World
from outvote.types import MILLISECOND, SECOND, ClientId, ReplicaId
from outvote.wire.client_messages import ReadReply, ReplyStatement, ToClient


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


def with_behaviour(name: str, kind: type[Behaviour], act: Callable[[], None]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(behaviours.BEHAVIOURS, name, kind)
        act()


def three_in_the_dark() -> None:
    with_behaviour("keep-3-in-the-dark", KeepsThreeInTheDark, pushed_after_one_retransmission)


def pushed_after_one_retransmission() -> None:
    chosen = plan(operations=0, liars=((0, ("keep-3-in-the-dark",)),), interval=16, faults_end=SECOND // 100)
    world = World(chosen.but(reads=True, receipts=False), protocol("pbft"))
    world.start()
    world.run_until(50 * MILLISECOND)
    client = world.clients[0]
    for count in range(3):
        asked = world.now
        world.call(0, [("put", ("k", f"v{count}"))])
        world.run_until(asked + 600 * MILLISECOND)
        assert client.finished, "1, 2 and 3 have answered"
        assert state_of(world, 3).delivered == count + 1
    assert state_of(world, 1).view == 0


def test_whoever_is_asked_again_tells_those_in_the_dark() -> None:
    """One retransmission, after half a second, must do: the idle STATUS, every two seconds, comes too late."""
    three_in_the_dark()


class ReadsTheBeginning(Behaviour):
    """Says of every read that there is nothing yet."""

    def tell(self, client: ClientId, message: ToClient) -> ToClient | None:
        if isinstance(message, ReadReply):
            return ReadReply(message.number, 0, (encode_done(None),) * len(message.results))
        return message


def two_that_are_wrong() -> None:
    with_behaviour("read-the-beginning", ReadsTheBeginning, a_laggard_and_a_liar_agree)


def a_laggard_and_a_liar_agree() -> None:
    world = World(plan(operations=0, liars=((2, ("read-the-beginning",)),)).but(reads=True), protocol("pbft"))
    world.start()
    for other in range(3):
        world.network.cut(other, 3)
    world.call(0, [("put", ("k", "new"))])
    world.run_until(400 * MILLISECOND)
    client = world.clients[0]
    assert client.finished
    world.network.cut(0, client.client)  # so that the two that are wrong come first
    world.call(0, [("get", ("k",))])
    world.run_until(world.now + 100 * MILLISECOND)
    assert not client.finished, "2 and 3 have agreed on a past, and that is too little"
    for other in range(3):
        world.network.heal(other, 3)
    world.network.heal(0, client.client)
    world.run_until(world.now + 3 * SECOND)
    assert client.finished
    assert client.session.reads.fallen_back == 1, "it was ordered instead"
    assert [operation.result for _, operation in client.history if operation.operation[0] == "get"] == [("new", 1)]


def test_a_laggard_and_a_liar_make_no_read() -> None:
    two_that_are_wrong()
