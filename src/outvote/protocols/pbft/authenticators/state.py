"""What the form without signatures keeps of views and checkpoints. Lookups only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from outvote.protocols.pbft.authenticators.messages import NewView, ViewChange
from outvote.types import Digest, Position, ReplicaId, View

BELIEVED: Final = -1  # in the place of a leader
Named = tuple[ReplicaId, Digest]  # a VIEW-CHANGE: who said it, and its digest


class Unsigned:
    """Everything is bounded by the number of replicas: one entry a sender, or one a sender and acknowledger."""

    def __init__(self) -> None:
        self.mine: ViewChange | None = None  # the last one sent
        self.latest: dict[ReplicaId, tuple[ViewChange, Digest]] = {}  # the one of the highest view, by who said it
        self.current: dict[ReplicaId, tuple[ViewChange, Digest]] = {}  # for the view we are in or change to
        self.acks: dict[tuple[ReplicaId, ReplicaId], tuple[View, Digest]] = {}  # by (acknowledger, sender); the latest
        # Not entered yet: VIEW-CHANGEs that they name are missing. The highest of each replica that leads such a view,
        # so that a liar with a view far ahead blocks its own only; and under BELIEVED the one that f + 1 vouch for.
        self.pending: dict[ReplicaId, NewView] = {}
        self.fetched: dict[Named, ViewChange] = {}  # named by `pending`, and told by others than their senders
        self.announced: NewView | None = None  # sent as primary of the view, not entered yet
        self.entered: NewView | None = None  # what the current view was entered by; None in view 0
        self.entered_words: dict[ReplicaId, NewView] = {}  # the latest that each replica says it entered by
        self.stable_words: dict[ReplicaId, tuple[Position, Digest]] = {}  # the highest that each replica told

    def names(self, sender: ReplicaId, digest: Digest) -> bool:
        """Whether a NEW-VIEW that we wait with names this VIEW-CHANGE."""
        return any((sender, digest) in pending.view_changes for pending in self.pending.values())

    def told(self, sender: ReplicaId, digest: Digest) -> ViewChange | None:
        """The VIEW-CHANGE that `sender` itself said, if it has this digest."""
        for held in (self.current.get(sender), self.latest.get(sender)):
            if held is not None and held[1] == digest:
                return held[0]
        return None

    def acknowledgers(self, view: View, sender: ReplicaId, digest: Digest) -> Iterator[ReplicaId]:
        """Who says that it heard this from `sender`; the sender's own word does not count."""
        for (acknowledger, of), word in self.acks.items():
            if of == sender and acknowledger != sender and word == (view, digest):
                yield acknowledger
