"""Rules of checkpoints, watermarks and state transfer, turned off."""

from __future__ import annotations

from typing import Any

import pytest

from outvote.core.checkpoints import Checkpoint, CheckpointCertificate
from outvote.core.tally import Tally
from outvote.machines import merkle_proofs
from outvote.machines.fetcher import Fetcher
from outvote.machines.merkle_map import inner_digest
from outvote.machines.tracked_dict import TrackedDict
from outvote.protocols.pbft import checkpoint
from outvote.protocols.pbft.state import State
from outvote.types import DIGEST_BYTES, Digest, Position, ReplicaId, Seal
from planted.bug import handle


def checkpoint_stable_with_weak_quorum(patch: pytest.MonkeyPatch) -> None:
    def on_checkpoint(state: State, sender: ReplicaId, message: Checkpoint, seal: Seal) -> None:
        weak = state.committee.weak
        votes = state.checkpoint_votes.near.setdefault(message.position, Tally())
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


def nodes_unverified(patch: pytest.MonkeyPatch) -> None:
    """State transfer takes any subtree that it is given: the digest of a child is not verified."""
    patch.setattr(Fetcher, "_verify", lambda fetcher, digest, expected: None)
    patch.setattr(Fetcher, "_check_whole", lambda fetcher: None)


def stale_subtree_reused(patch: pytest.MonkeyPatch) -> None:
    """State transfer keeps what it has below a node, whatever digest was promised for it."""
    original = Fetcher._want

    def want(fetcher: Fetcher, path: str, digest: Digest) -> None:
        if not path or fetcher.state.node(path) is None:
            original(fetcher, path, digest)

    patch.setattr(Fetcher, "_want", want)
    patch.setattr(Fetcher, "_check_whole", lambda fetcher: None)


def touched_items_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A checkpoint writes new items of a dict and not those that have changed."""

    def setitem(one: TrackedDict[Any, Any], key: Any, value: Any) -> None:
        if key not in one.numbers:
            one.numbers[key] = one.next_number
            one.next_number += 1
            one.touched[key] = None
        dict.__setitem__(one, key, value)

    patch.setattr(TrackedDict, "__setitem__", setitem)


def absence_unverified(patch: pytest.MonkeyPatch) -> None:
    """A proof that ends at nothing is taken as one of absence, though its bitmap says that something is there."""

    def above(step: merkle_proofs.Step, slot: int, below: Digest | None) -> Digest:
        place = (step.bitmap & ((1 << slot) - 1)).bit_count() * DIGEST_BYTES
        return inner_digest(step.bitmap, step.others[:place] + (below or b"") + step.others[place:])

    patch.setattr(merkle_proofs, "_above", above)
