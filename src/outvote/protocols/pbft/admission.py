"""What may still matter: asked before any seal is checked, and again before a message is handled.

Bounds what a liar can make us verify or keep: one view-change a view, one vote a slot, windows around the watermarks,
and for views not yet entered a fixed number of messages a sender.
"""

from __future__ import annotations

from typing import Final

from outvote.core.contract import Message
from outvote.protocols.pbft.messages import (
    Checkpoint,
    CheckpointCertificate,
    Commit,
    Decided,
    FetchedBatch,
    Forward,
    NewView,
    NewViewProof,
    Prepare,
    PrePrepare,
    StableProof,
    Status,
    ViewChange,
)
from outvote.protocols.pbft.state import State
from outvote.types import ReplicaId, Seal, View

EARLY_VOTES_MAX: Final = 256  # a sender; 150 bytes each
EARLY_PROPOSALS_MAX: Final = 4  # a sender; up to 2 MiB each


def admits(state: State, sender: ReplicaId, message: Message) -> bool:
    """Cheap and pure. False drops the message without a trace: it may be late, repeated or out of any window."""
    kind = type(message)
    if kind is Prepare or kind is Commit or kind is PrePrepare:
        assert isinstance(message, Prepare | Commit | PrePrepare)
        return admits_ordering(state, sender, message)
    if isinstance(message, Checkpoint):
        return admits_checkpoint(state, sender, message)
    if isinstance(message, ViewChange):
        return admits_view_change(state, sender, message)
    if isinstance(message, NewView):
        return admits_new_view(state, message)
    if isinstance(message, NewViewProof):
        return state.committee.holds(message.sender) and admits_new_view(state, message.message)
    if isinstance(message, Decided):
        slot = state.slots.get(message.position)
        return (
            state.in_window(message.position)
            and message.position > state.delivered
            and (slot is None or (slot.committed is None and not slot.told.has(sender)))
        )
    if isinstance(message, StableProof):
        return message.certificate.position > state.low and fits(state, message.certificate)
    if isinstance(message, Forward):
        return state.leads() and not state.pool.executed(*message.request.key)
    if isinstance(message, FetchedBatch):
        return state.leads() and message.position in state.required
    return isinstance(message, Status) or message.sealed is False


def admits_ordering(state: State, sender: ReplicaId, message: PrePrepare | Prepare | Commit) -> bool:
    if not state.in_window(message.position) or message.view < state.view:
        return False
    if early(state, message):
        held = state.early.get(sender, ())
        proposals = sum(1 for entry in held if isinstance(entry[0], PrePrepare))
        if isinstance(message, PrePrepare):
            return proposals < EARLY_PROPOSALS_MAX
        return len(held) - proposals < EARLY_VOTES_MAX
    slot = state.slots.get(message.position)
    if slot is None:
        return True
    if slot.committed is not None and slot.committed.view == message.view and slot.prepared_now:
        return False
    # A vote that differs from the same sender's first is let in: its seal makes it evidence.
    if isinstance(message, Prepare):
        return not slot.prepared_now and slot.prepares.vote_of(sender) != message.digest
    if isinstance(message, Commit):
        return slot.commits.vote_of(sender) != message.digest
    return not (slot.seal and slot.digest == message.digest)


def early(state: State, message: Message) -> bool:
    """Whether the message belongs to a view that this replica has not entered yet."""
    view = view_of(message)
    return view > state.view or (view == state.view and not state.active)


def view_of(message: Message) -> View:
    """The view of an ordering message; -1 for any other kind."""
    return message.view if isinstance(message, PrePrepare | Prepare | Commit) else -1


def keep_early(state: State, sender: ReplicaId, message: Message, seal: Seal) -> None:
    """Bounded by `admits`."""
    state.early.setdefault(sender, []).append((message, seal))


def admits_checkpoint(state: State, sender: ReplicaId, message: Checkpoint) -> bool:
    position = message.position
    if position <= state.low or position % state.config.checkpoint_interval:
        return False
    if position > state.high:
        far = state.far_votes.get(sender)
        return far is None or position > far[0]
    votes = state.checkpoint_votes.get(position)
    return votes is None or not votes.has(sender)


def fits(state: State, certificate: CheckpointCertificate) -> bool:
    return len(certificate.seals) <= state.committee.n


def admits_view_change(state: State, sender: ReplicaId, message: ViewChange) -> bool:
    if message.view < state.view or (message.view == state.view and state.active):
        return False
    held = state.view_changes.get(sender)
    if held is not None and held.message.view >= message.view:
        return False
    return fits_view_change(state, message)


def fits_view_change(state: State, message: ViewChange) -> bool:
    """Few enough seals to be worth checking."""
    n = state.committee.n
    return (
        fits(state, message.stable)
        and len(message.prepared) <= state.config.window
        and all(len(certificate.prepares) <= n for certificate in message.prepared)
    )


def admits_new_view(state: State, message: NewView) -> bool:
    if message.view < state.view or (message.view == state.view and state.active):
        return False
    return len(message.view_changes) == state.committee.quorum and all(
        fits_view_change(state, one.message) for one in message.view_changes
    )
