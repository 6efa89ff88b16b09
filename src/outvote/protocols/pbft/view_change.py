"""View change, section 4.4, signature form; with the join rule and the timers of section 4.5.2.

Kept: whatever a quorum committed in any view is prepared in a correct replica of every quorum of VIEW-CHANGEs,
and `choose` picks the prepared certificate of the highest view: so it is proposed again. Backups compute O themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

from outvote.core.certificates import sound
from outvote.core.checkpoints import GENESIS, CheckpointCertificate
from outvote.core.committee import Committee
from outvote.core.contract import ALL
from outvote.protocols.pbft import checkpoint, tentative
from outvote.protocols.pbft.messages import (
    NULL_BATCH,
    NULL_DIGEST,
    FetchBatch,
    Forward,
    NewView,
    NewViewProof,
    PreparedCertificate,
    SealedViewChange,
    ViewChange,
)
from outvote.protocols.pbft.normal import propose
from outvote.protocols.pbft.records import Announced, Entered, Left
from outvote.protocols.pbft.state import State
from outvote.types import Digest, Position, ReplicaId, Seal, View

FORWARDED_MAX = 64  # requests handed to a new primary at once; the rest follows with the next STATUS


def leave_for(state: State, view: View) -> None:
    """Stop taking part below `view` and show what was prepared."""
    tentative.undo(state)
    state.briefs.clear()
    state.view = view
    state.active = False
    state.suspected = False
    state.accepted_end = 0
    state.fruitless_views += 1
    state.awaited = None
    state.timers.cancel("view")
    for slot in state.slots.values():
        slot.begin_view()
    state.form.leave(state)


def leave(state: State) -> None:
    """Show the certificates. The record makes it final before it is said."""
    state.new_view = None
    state.announced = None
    prepared = tuple(
        slot.prepared for position, slot in sorted(state.slots.items()) if slot.prepared is not None
    )
    message = ViewChange(state.view, state.certified, prepared)
    state.my_view_change = message
    state.out.records.append(Left(message))
    state.out.messages.append((ALL, message))


def sound_view_change(message: ViewChange, committee: Committee, window: int) -> bool:
    """Every certificate in it is complete and belongs where it stands; the host has checked the seals."""
    stable = message.stable
    if stable.position == 0:
        if stable != GENESIS:
            return False
    elif not checkpoint.sound_checkpoint(stable, committee):
        return False
    last = stable.position
    for certificate in message.prepared:
        if not last < certificate.position <= stable.position + window or certificate.view >= message.view:
            return False
        if not sound_prepared(certificate, committee):
            return False
        last = certificate.position
    return True


def sound_prepared(certificate: PreparedCertificate, committee: Committee) -> bool:
    """The primary's proposal, and quorum - 1 others: the primary's own PREPARE would count it twice."""
    proposer = committee.leader(certificate.view)
    return certificate.proposer == proposer and sound(
        certificate.prepares, committee.quorum - 1, committee, barred=proposer
    )


def on_view_change(state: State, sender: ReplicaId, message: ViewChange, seal: Seal) -> None:
    if not sound_view_change(message, state.committee, state.config.window):
        state.out.lies.append((sender, "view-change with an unsound certificate"))
        return
    held = state.view_changes.get(sender)
    if held is not None and held.message.view >= message.view:
        return
    state.view_changes[sender] = SealedViewChange(sender, message, seal)
    state.asked[sender] = message.view
    checkpoint.learn(state, message.stable)
    join_higher_view(state)
    try_new_view(state)


def join_higher_view(state: State) -> None:
    """f + 1 replicas are past our view, so a correct one is: join the smallest of their views without waiting."""
    higher = sorted(view for sender, view in state.asked.items() if sender != state.me and view > state.view)
    if len(higher) >= state.committee.weak:
        leave_for(state, higher[0])


def supporters(state: State) -> list[SealedViewChange]:
    """VIEW-CHANGEs for the view that this replica is changing to, by sender."""
    return [
        quoted for _, quoted in sorted(state.view_changes.items()) if quoted.message.view == state.view
    ]


def left_with_us(state: State) -> int:
    """How many replicas have left all views below ours. Those that already ask for a higher view count: without them
    the timer could stop for ever, with some waiting for one view and some for the next, each short of a quorum."""
    return sum(1 for view in state.asked.values() if view >= state.view)


def try_new_view(state: State) -> None:
    """The new primary announces its view once a quorum asked for it."""
    if state.active or state.leader() != state.me or state.announced is not None:
        return
    quorum = state.committee.quorum
    support = supporters(state)
    if len(support) < quorum:
        return
    chosen = tuple(support[:quorum])
    message = NewView(state.view, chosen, choose([one.message for one in chosen])[1])
    state.announced = message
    state.out.records.append(Announced(message))  # a second NEW-VIEW for this view must be this one
    state.out.messages.append((ALL, message))


def choose(
    messages: Sequence[ViewChange],
) -> tuple[CheckpointCertificate, tuple[tuple[Position, Digest], ...]]:
    """min-s as a certificate, and O: for every position up to max-s the prepared digest of the highest view, or null.

    A pure function of the VIEW-CHANGEs, so every replica comes to the same answer.
    """
    stable = max((message.stable for message in messages), key=lambda certificate: certificate.position)
    best: dict[Position, PreparedCertificate] = {}
    for message in messages:
        for certificate in message.prepared:
            held = best.get(certificate.position)
            if certificate.position > stable.position and (held is None or certificate.view > held.view):
                best[certificate.position] = certificate
    last = max(best, default=stable.position)
    return stable, tuple(
        (position, best[position].digest if position in best else NULL_DIGEST)
        for position in range(stable.position + 1, last + 1)
    )


def sound_new_view(message: NewView, committee: Committee, window: int) -> bool:
    """A quorum of different senders asked for exactly this view, and O is what follows from what they showed."""
    quoted = message.view_changes
    if not sound(tuple((one.sender, one.seal) for one in quoted), committee.quorum, committee):
        return False
    if any(one.message.view != message.view for one in quoted):
        return False
    if not all(sound_view_change(one.message, committee, window) for one in quoted):
        return False
    return choose([one.message for one in quoted])[1] == message.proposals


def on_new_view(state: State, sender: ReplicaId, message: NewView, seal: Seal) -> None:
    if sender != state.committee.leader(message.view):
        state.out.lies.append((sender, "new-view of a view it does not lead"))
        return
    if not sound_new_view(message, state.committee, state.config.window):
        state.out.lies.append((sender, "new-view that does not follow from its view-changes"))
        if message.view == state.view and not state.active:
            leave_for(state, state.view + 1)
        return
    state.out.records.append(Entered(message, seal))
    enter(state, message, seal)


def on_new_view_proof(state: State, _sender: ReplicaId, message: NewViewProof, _seal: Seal) -> None:
    """A NEW-VIEW that we missed, passed on by somebody who did not."""
    on_new_view(state, message.sender, message.message, message.seal)


def require(state: State, message: NewView) -> CheckpointCertificate:
    """Bind this replica to O; returns the checkpoint that O starts from."""
    stable, proposals = choose([one.message for one in message.view_changes])
    state.required = {position: digest for position, digest in proposals if position > state.low}
    state.required_end = stable.position + len(proposals)
    state.next_position = max(stable.position, state.low) + 1
    return stable


def enter(state: State, message: NewView, seal: Seal) -> None:
    """Take part in the view, bound by O. Ends with the primary proposing and the backups forwarding."""
    begin(state, message.view)
    state.new_view = (message, seal)
    state.announced = None
    checkpoint.learn(state, require(state, message))
    take_part(state)


def begin(state: State, view: View) -> None:
    """Whatever the form: the view is entered, and every slot is empty in it."""
    tentative.undo(state)
    state.briefs.clear()
    state.view = view
    state.active = True
    state.suspected = False
    state.accepted_end = 0
    state.awaited = None
    state.timers.cancel("view")
    growth = min(2 ** max(0, state.fruitless_views - 1), state.config.view_timeout_growth_max)
    state.view_timeout_ns = state.config.view_timeout_ns * growth
    for slot in state.slots.values():
        slot.begin_view()


def take_part(state: State) -> None:
    """What was waiting is proposed, or handed to the one who may."""
    tentative.entered(state)
    state.pool.propose_again()
    if state.leads():
        propose_required(state)
    else:
        forward_waiting(state)


def propose_required(state: State) -> None:
    """The primary proposes O in order, asking for the batches that it does not have."""
    while state.next_position <= state.required_end:
        position = state.next_position
        if not state.in_window(position):
            if position > state.high:
                return  # our own checkpoint is behind: go on when it has moved
            state.next_position += 1
            continue
        digest = state.required[position]
        batch = NULL_BATCH if digest == NULL_DIGEST else state.slot(position).batches.get(digest)
        if batch is None:
            state.out.hints.append((ALL, FetchBatch(position, digest)))
            return
        propose(state, position, batch)
        state.next_position += 1


def forward_waiting(state: State) -> None:
    """Give the primary what clients gave us, so that it cannot say it never heard of it."""
    leader = state.leader()
    for request in state.pool.waiting()[:FORWARDED_MAX]:
        state.out.hints.append((leader, Forward(request)))
