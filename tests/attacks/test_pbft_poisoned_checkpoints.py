"""Checkpoints that nobody certified, states that are not what was certified."""

from __future__ import annotations

import pytest
from puppet import others, plan, state_of, told_lies, world_with_puppet

from outvote.core.contract import Message
from outvote.protocols.catalogue import protocol
from outvote.protocols.pbft.messages import Checkpoint, CheckpointCertificate, Commit, StableProof
from outvote.simulator.adversaries import catalogue as behaviours
from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.simulator.plan import Fault
from outvote.simulator.world import World
from outvote.types import SECOND, ReplicaId
from outvote.wire.client_messages import ReplyStatement

LIE = b"!" * 32


def test_a_liars_checkpoints_and_proofs_move_no_watermark_and_start_no_transfer() -> None:
    world, puppet = world_with_puppet(3, plan(operations=30))

    def on_message(_sender: ReplicaId, message: Message) -> None:
        if not isinstance(message, Commit):
            return
        position = (message.position // 4 + 1) * 4
        for place in (position, position + 4, 1 << 31, 1 << 62):
            own = puppet.seal(Checkpoint(place, LIE))
            puppet.say(
                others(world, 3),
                Checkpoint(place, LIE),
                StableProof(CheckpointCertificate(place, LIE, ((3, own),))),
                StableProof(CheckpointCertificate(place, LIE, ((3, own),) * 3)),
                StableProof(CheckpointCertificate(place, LIE, ((0, own), (1, own), (3, own)))),
                StableProof(CheckpointCertificate(place, LIE, ())),
            )

    puppet.on_message = on_message
    world.run()
    assert told_lies(world, 3)
    assert not any("fetching" in line for line in world.trace.lines)
    for replica in (0, 1, 2):
        state = state_of(world, replica)
        assert state.low >= 16, "honest checkpoints went on"
        assert LIE not in state.own_digests.values()
        assert len(state.far_votes) <= 1
        assert len(state.checkpoint_votes) <= 2


def dark(replica: ReplicaId, end: int) -> list[Fault]:
    others_of = [other for other in range(4) if other != replica]
    pairs = [(replica, other) for other in others_of] + [(other, replica) for other in others_of]
    faults = [Fault(0, "cut", a, b) for a, b in pairs]
    return faults + [Fault(end, "heal", a, b) for a, b in pairs]


def attack_on_transfer(liar: ReplicaId, seed: int) -> World:
    """Replica 2 misses three checkpoints and fetches the state; one of the sources spoils what it sends. (0 is asked
    for the manifest first, 1 for the first part.)"""
    chosen = plan(operations=16, liars=((liar, ("spoil-transfers",)),), faults=dark(2, SECOND), faults_end=SECOND)
    world = World(chosen._replace(seed=seed, pause_max=SECOND // 8), protocol("pbft"), keep_trace=True)
    world.run()
    world.run_until(world.now + 8 * SECOND)
    return world


@pytest.mark.parametrize("liar", [0, 1])
@pytest.mark.parametrize("seed", range(3))
def test_a_spoilt_state_is_noticed_and_fetched_from_somebody_else(liar: ReplicaId, seed: int) -> None:
    world = attack_on_transfer(liar, seed)
    assert world.marks["states fetched"] >= 1
    positions = {replica: state_of(world, replica).delivered for replica in (1 - liar, 2, 3)}
    assert len(set(positions.values())) == 1, positions


class KeepsThreeInTheDark(Behaviour):
    """Orders with 1 and 2, tells 3 nothing, and answers no client: then 3 alone cannot depose it."""

    def speak(self, receiver: ReplicaId, message: Message) -> list[Message]:
        return [] if receiver == 3 else [message]

    def answer(self, client: int, statement: ReplyStatement) -> ReplyStatement | None:
        return None


def test_a_replica_kept_in_the_dark_catches_up_while_all_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(behaviours.BEHAVIOURS, "keep-3-in-the-dark", KeepsThreeInTheDark)
    chosen = plan(operations=5, liars=((0, ("keep-3-in-the-dark",)),), interval=16, faults_end=SECOND // 100)
    world = World(chosen, protocol("pbft"))
    world.run()
    assert state_of(world, 1).delivered > state_of(world, 3).delivered, "nobody told 3, and no checkpoint will"
    assert state_of(world, 1).view == 0
    world.run_until(world.now + 5 * SECOND)
    assert state_of(world, 3).delivered == state_of(world, 1).delivered
    assert state_of(world, 3).low == 0, "it was told of the decisions, no state was fetched"
