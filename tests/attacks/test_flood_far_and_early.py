"""A liar that says far more, and far further ahead, than anybody should: memory stays bounded, work goes on."""

from __future__ import annotations

from puppet import others, plan, state_of, world_with_puppet

from outvote.core.checkpoints import GENESIS, Checkpoint, CheckpointCertificate
from outvote.core.contract import Message
from outvote.host.witness import STATEMENTS_MAX_EACH
from outvote.protocols.pbft.admission import EARLY_VOTES_MAX
from outvote.protocols.pbft.messages import (
    NULL_BATCH,
    NULL_DIGEST,
    Batch,
    Commit,
    Decided,
    FetchBatch,
    FetchedBatch,
    NewView,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    StableProof,
    Status,
    ViewChange,
)
from outvote.types import ReplicaId

FAR = (1 << 31, 1 << 32, (1 << 62) - 1, 1 << 62, (1 << 63) - 1, (1 << 64) - 1, -1, -(1 << 31), 0)
LIE = b"!" * 32


def everything_at(view: int, position: int) -> list[Message]:
    return [
        PrePrepare(view, position, NULL_DIGEST, NULL_BATCH),
        Prepare(view, position, LIE),
        Commit(view, position, LIE),
        Checkpoint(position, LIE),
        ViewChange(view, GENESIS, ()),
        ViewChange(view, CheckpointCertificate(position, LIE, ((0, bytes(64)),)), ()),
        ViewChange(view, GENESIS, (PreparedCertificate(view - 1, position, LIE, 0, bytes(64), ()),)),
        NewView(view, (), ((position, LIE),)),
        Status(view, True, position, position, b"\xff" * 64),
        Decided(position, Batch(0, ())),
        StableProof(CheckpointCertificate(position, LIE, ())),
        FetchBatch(position, LIE),
        FetchedBatch(position, NULL_BATCH),
    ]


def test_far_futures_and_impossible_numbers_disturb_nobody() -> None:
    world, puppet = world_with_puppet(3, plan(operations=8))
    said = 0

    def on_message(_sender: ReplicaId, message: Message) -> None:
        nonlocal said
        if isinstance(message, Prepare) and said < len(FAR):
            far = FAR[said]
            said += 1
            for view, position in ((far, 1), (0, far), (far, far), (1, far), (far, 2)):
                try:
                    puppet.say(others(world, 3), *everything_at(view, position))
                except OverflowError:
                    continue  # beyond 64 bits: nothing that the wire could carry

    puppet.on_message = on_message
    world.run()
    assert said == len(FAR)
    for replica in (0, 1, 2):
        state = state_of(world, replica)
        assert state.view == 0
        assert state.delivered >= 4
        assert len(state.slots) <= state.config.window
        assert len(state.checkpoint_votes.far) <= 1


def test_a_flood_of_early_messages_is_bounded() -> None:
    world, puppet = world_with_puppet(3, plan(operations=4))
    flooded = False

    def on_message(_sender: ReplicaId, message: Message) -> None:
        nonlocal flooded
        if flooded or not isinstance(message, Prepare):
            return
        flooded = True
        for view in range(1, 400):
            for position in (1, 2, 3):
                puppet.say(
                    (0, 1), Prepare(view, position, LIE), Commit(view, position, LIE),
                    PrePrepare(view, position, NULL_DIGEST, NULL_BATCH),
                )
            puppet.say((0, 1), ViewChange(view, GENESIS, ()))

    puppet.on_message = on_message
    world.run()
    for replica in (0, 1):
        state = state_of(world, replica)
        held = state.early.get(3, [])
        proposals = [entry for entry in held if isinstance(entry[0], PrePrepare)]
        assert len(proposals) == state.config.window
        assert len(held) - len(proposals) == EARLY_VOTES_MAX
        assert len(state.view_changes) <= 4
        assert state.view == 0
        turn = world.replicas[replica].turn
        assert turn is not None
        assert all(len(seen) <= STATEMENTS_MAX_EACH for seen in turn._witness._seen.values())


def test_a_flood_of_repeated_questions_is_answered_a_bounded_number_of_times() -> None:
    """STATUS is cheap to send and dear to answer: at most one answer in half an interval."""
    world, puppet = world_with_puppet(3, plan(operations=6))
    asked = False

    def on_message(_sender: ReplicaId, message: Message) -> None:
        nonlocal asked
        if isinstance(message, Commit) and message.position == 5 and not asked:
            asked = True
            for _ in range(500):
                puppet.say((0, 1, 2), Status(0, True, 0, 0, b""))

    puppet.on_message = on_message
    world.run()
    assert asked
    proofs = [message for _, message, _ in puppet.heard if isinstance(message, StableProof)]
    assert len(proofs) <= 3 * 25, "three repliers, two seconds"
