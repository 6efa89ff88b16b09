"""What replicas say in the form without signatures, where it differs (Castro and Liskov, TOCS 2002, section 4.2).

Nothing here quotes a seal: each message counts for what its sender says, and the channel tells who that is. Tags: 7 and
8 are promises, 31 and up are hints.
"""

from __future__ import annotations

from typing import Final

from outvote.core.checkpoints import Checkpoint
from outvote.core.contract import Hint, Message, Struct
from outvote.protocols.pbft.messages import (
    BriefPrePrepare,
    Commit,
    Complaint,
    Decided,
    FetchBatch,
    FetchedBatch,
    Forward,
    Prepare,
    PrePrepare,
    QueryReached,
    ReachedReply,
    Status,
)
from outvote.types import Digest, Position, ReplicaId, View


class PreparedEntry(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """An element of P: this was prepared here, last in this view."""

    position: Position
    digest: Digest
    view: View


class PrePreparedEntry(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """An element of Q: these were pre-prepared here, each last in this view; by ascending digest."""

    position: Position
    digests: tuple[tuple[Digest, View], ...]


class ViewChange(Message, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=7):
    """Replica to all: I left every view below `view`; so much I know. Every tuple is by ascending position."""

    view: View
    stable: Position  # h
    checkpoints: tuple[tuple[Position, Digest], ...]  # C: the stable one and those executed since
    prepared: tuple[PreparedEntry, ...]  # P
    pre_prepared: tuple[PrePreparedEntry, ...]  # Q

    def exclusive(self) -> tuple[int, ...]:
        return 7, self.view


class NewView(Message, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=8):
    """New primary to all: these VIEW-CHANGEs, named by their digests, and what follows from them."""

    view: View
    view_changes: tuple[tuple[ReplicaId, Digest], ...]  # V, by ascending sender
    start: Position  # X: the checkpoint that O begins behind
    start_digest: Digest
    proposals: tuple[tuple[Position, Digest], ...]  # O, by ascending position, without gaps

    def exclusive(self) -> tuple[int, ...]:
        return 8, self.view


class ViewChangeAck(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=31):
    """Replica to all: `sender` told me itself a VIEW-CHANGE for this view that has this digest."""

    view: View
    sender: ReplicaId
    digest: Digest


class FetchViewChange(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=32):
    """Replica to all: a NEW-VIEW names this VIEW-CHANGE, and I lack it."""

    sender: ReplicaId
    digest: Digest


class FetchedViewChange(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=33):
    """The answer; the digest proves it the one that was named, and acks that its sender said it."""

    sender: ReplicaId
    message: ViewChange


class EnteredView(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=34):
    """Replica to one that lags: I entered by this NEW-VIEW. Believed when f + 1 replicas say the same."""

    message: NewView


class StableWord(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=36):
    """Replica to one that lags: a quorum told me this checkpoint. Believed when f + 1 replicas say the same."""

    position: Position
    digest: Digest


MESSAGES: Final = (
    PrePrepare, BriefPrePrepare, Prepare, Commit, Checkpoint, ViewChange, NewView,
    Forward, Status, Decided, FetchBatch, FetchedBatch, QueryReached, ReachedReply, Complaint,
    ViewChangeAck, FetchViewChange, FetchedViewChange, EnteredView, StableWord,
)
