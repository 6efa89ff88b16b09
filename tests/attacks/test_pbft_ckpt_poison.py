"""A liar sends checkpoints and proofs that nobody certified, near and far.

Passes if no watermark moves, no transfer starts, and honest checkpoints go on.
"""

from __future__ import annotations

from puppet import others, plan, state_of, told_lies, world_with_puppet

from outvote.core.checkpoints import Checkpoint, CheckpointCertificate
from outvote.core.contract import Message
from outvote.protocols.pbft.messages import Commit, StableProof
from outvote.types import ReplicaId

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
        assert len(state.checkpoint_votes.far) <= 1
        assert len(state.checkpoint_votes.near) <= 2
