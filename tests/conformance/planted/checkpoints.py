"""Rules of checkpoints, watermarks and state transfer, turned off."""

from __future__ import annotations

import pytest

from outvote.core.tally import Tally
from outvote.machines.state_transfer import Fetcher, Manifest, Part
from outvote.protocols.pbft import checkpoint
from outvote.protocols.pbft.messages import (
    Checkpoint,
    CheckpointCertificate,
)
from outvote.protocols.pbft.state import State
from outvote.types import Digest, Position, ReplicaId, Seal
from planted.bug import handle


def checkpoint_stable_with_weak_quorum(patch: pytest.MonkeyPatch) -> None:
    def on_checkpoint(state: State, sender: ReplicaId, message: Checkpoint, seal: Seal) -> None:
        weak = state.committee.weak
        votes = state.checkpoint_votes.setdefault(message.position, Tally())
        if votes.add(sender, message.digest, seal) and votes.count(message.digest) >= weak:
            seals = votes.seals(message.digest, weak)
            checkpoint.learn(state, CheckpointCertificate(message.position, message.digest, seals))

    handle(patch, Checkpoint, on_checkpoint)


def own_checkpoint_is_stable(patch: pytest.MonkeyPatch) -> None:
    """Garbage is collected behind one's own checkpoint."""
    original = checkpoint.executed

    def executed(state: State, position: Position, digest: Digest) -> None:
        original(state, position, digest)
        if position > state.low:
            checkpoint.make_stable(state, CheckpointCertificate(position, digest, ()))

    patch.setattr(checkpoint, "executed", executed)


def high_watermark_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(State, "in_window", lambda state, position: position > state.low)


def parts_unverified(patch: pytest.MonkeyPatch) -> None:
    """State transfer takes any part that it is given."""

    def take(fetcher: Fetcher, sender: ReplicaId, part: Part, manifest: Manifest) -> None:
        fetcher._parts.setdefault(part.index, part.data)
        fetcher._asked.pop(part.index, None)
        fetcher._finish(manifest)

    patch.setattr(Fetcher, "_take_part", take)


def manifest_unverified(patch: pytest.MonkeyPatch) -> None:
    def take(fetcher: Fetcher, sender: ReplicaId, manifest: Manifest) -> None:
        fetcher._manifest = manifest
        fetcher._asked.clear()
        fetcher._missing = list(range(len(manifest.parts) - 1, -1, -1))
        fetcher._finish(manifest)

    patch.setattr(Fetcher, "_take_manifest", take)
