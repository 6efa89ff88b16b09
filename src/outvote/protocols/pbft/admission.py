"""What may still matter: asked before any seal is checked, and again before a message is handled.

Bounds what a liar can make us verify or keep: one view-change a view, one vote a slot, windows around the watermarks,
and for views not yet entered a fixed number of messages a sender.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from outvote.core.checkpoints import Checkpoint, CheckpointCertificate
from outvote.core.contract import Message
from outvote.protocols.pbft.large import admits_brief
from outvote.protocols.pbft.messages import (
    BriefPrePrepare,
    Commit,
    Complaint,
    Decided,
    FetchBatch,
    FetchedBatch,
    Forward,
    NewView,
    NewViewProof,
    Prepare,
    PrePrepare,
    QueryReached,
    ReachedReply,
    StableProof,
    Status,
    ViewChange,
)
from outvote.protocols.pbft.performance import admits_complaint
from outvote.protocols.pbft.state import State
from outvote.types import ReplicaId, Seal, View

EARLY_VOTES_MAX: Final = 256  # a sender; 150 bytes each
# A sender. A whole window of proposals may overtake their NEW-VIEW, and those that are dropped here come again only to
# who asks for them; small ones must not count like the largest, of which this is four.
EARLY_PROPOSALS_BYTES_MAX: Final = 8 * 1024 * 1024
_ORDERING: Final = (PrePrepare, Prepare, Commit)


def admits(state: State, sender: ReplicaId, message: Message) -> bool:
    """Cheap and pure. False drops the message without a trace: it may be late, repeated or out of any window."""
    kind = type(message)
    ask = _ADMITS.get(kind) or state.form.admits.get(kind)
    return ask is not None and ask(state, sender, message)


def always(_state: State, _sender: ReplicaId, _message: Message) -> bool:
    """Costs nothing to handle, keeps nothing."""
    return True


def is_early(state: State, view: View) -> bool:
    return view > state.view or (view == state.view and not state.active)


def may_keep_early(state: State, sender: ReplicaId, message: Message) -> bool:
    """Whether there is room to keep it until its view is entered."""
    held = [entry[0] for entry in state.early.get(sender, ())]
    proposals = [one for one in held if isinstance(one, PrePrepare)]
    if isinstance(message, PrePrepare):
        held_bytes = sum(map(size_bytes, proposals))
        return len(proposals) < state.config.window and held_bytes + size_bytes(message) <= EARLY_PROPOSALS_BYTES_MAX
    return len(held) - len(proposals) < EARLY_VOTES_MAX


def size_bytes(proposal: PrePrepare) -> int:
    """About as much as it takes on the wire."""
    return 200 + sum(request.size_bytes() for request in proposal.batch.requests)


def settled_by_view(state: State, sender: ReplicaId, message: PrePrepare | Prepare | Commit) -> bool | None:
    """What view and window alone decide; None for a message of the current view, whose slot decides."""
    view = message.view
    if view < state.view or not state.in_window(message.position):
        return False
    return None if view == state.view and state.active else may_keep_early(state, sender, message)


def admits_pre_prepare(state: State, sender: ReplicaId, message: PrePrepare) -> bool:
    settled = settled_by_view(state, sender, message)
    if settled is not None:
        return settled
    slot = state.slots.get(message.position)
    if slot is None:
        return True
    # A proposal that differs from the accepted one is let in: its seal makes it evidence.
    return not (slot.seal and slot.digest == message.digest) and not slot.done_in(message.view)


def admits_prepare(state: State, sender: ReplicaId, message: Prepare) -> bool:
    settled = settled_by_view(state, sender, message)
    if settled is not None:
        return settled
    slot = state.slots.get(message.position)
    # A vote that differs from the same sender's first is let in: its seal makes it evidence.
    return slot is None or (not slot.prepared_now and slot.prepares.vote_of(sender) != message.digest)


def admits_commit(state: State, sender: ReplicaId, message: Commit) -> bool:
    settled = settled_by_view(state, sender, message)
    if settled is not None:
        return settled
    slot = state.slots.get(message.position)
    return slot is None or not (slot.commits.has(sender) or slot.done_in(message.view))


def admits_decided(state: State, sender: ReplicaId, message: Decided) -> bool:
    if not state.in_window(message.position) or message.position <= state.delivered:
        return False
    slot = state.slots.get(message.position)
    return slot is None or (slot.committed is None and not slot.told.has(sender))


def admits_stable_proof(state: State, _sender: ReplicaId, message: StableProof) -> bool:
    return message.certificate.position > state.low and fits(state, message.certificate)


def admits_forward(state: State, _sender: ReplicaId, message: Forward) -> bool:
    # The gate for clients never saw it: one that no frame carries would cost its primary the view, and every next one.
    if message.request.size_bytes() > state.config.batch_bytes_max:
        return False
    # What waits here already costs no second check: clients show every 16th of their requests to all.
    key = message.request.key
    return state.leads() and not state.pool.waits(key) and not state.pool.executed(*key)


def admits_fetched_batch(state: State, _sender: ReplicaId, message: FetchedBatch) -> bool:
    return state.leads() and message.position in state.required and state.in_window(message.position)


def early(state: State, message: Message) -> bool:
    """Whether the message belongs to a view that this replica has not entered yet."""
    return isinstance(message, _ORDERING) and is_early(state, message.view)


def keep_early(state: State, sender: ReplicaId, message: Message, seal: Seal) -> None:
    """Bounded by `admits`."""
    state.early.setdefault(sender, []).append((message, seal))


def admits_checkpoint(state: State, sender: ReplicaId, message: Checkpoint) -> bool:
    interval = state.config.checkpoint_interval
    return state.checkpoint_votes.admits(sender, message.position, state.low, state.high, interval)


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


def admits_new_view_proof(state: State, sender: ReplicaId, message: NewViewProof) -> bool:
    return state.committee.holds(message.sender) and admits_new_view(state, sender, message.message)


def admits_new_view(state: State, _sender: ReplicaId, message: NewView) -> bool:
    if message.view < state.view or (message.view == state.view and state.active):
        return False
    return len(message.view_changes) == state.committee.quorum and all(
        fits_view_change(state, one.message) for one in message.view_changes
    )


# Any: each question takes its own message type; the table's key guarantees the match.
_ADMITS: Final[dict[type[Message], Callable[[State, ReplicaId, Any], bool]]] = {
    PrePrepare: admits_pre_prepare,
    BriefPrePrepare: admits_brief,
    Prepare: admits_prepare,
    Commit: admits_commit,
    Checkpoint: admits_checkpoint,
    Forward: admits_forward,
    Status: always,
    Decided: admits_decided,
    FetchBatch: always,
    FetchedBatch: admits_fetched_batch,
    QueryReached: always,
    ReachedReply: always,
    Complaint: admits_complaint,
}
