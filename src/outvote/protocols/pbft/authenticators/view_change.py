"""View change without signatures: VIEW-CHANGE, its acks, NEW-VIEW by digests, and fetching what a NEW-VIEW names.

Kept: a replica enters a view only by VIEW-CHANGEs that it heard from their senders, or that f + 1 replicas say they
heard, so a correct one among them; and only if what the primary announces follows from them by `choose`.
"""

from __future__ import annotations

from itertools import pairwise

from outvote.core.checkpoints import CheckpointCertificate
from outvote.core.contract import ALL, digest_of
from outvote.protocols.pbft import view_change
from outvote.protocols.pbft.authenticators.choice import Choice, choose
from outvote.protocols.pbft.authenticators.messages import (
    EnteredView,
    FetchedViewChange,
    FetchViewChange,
    NewView,
    PreparedEntry,
    PrePreparedEntry,
    ViewChange,
    ViewChangeAck,
)
from outvote.protocols.pbft.authenticators.records import Announced, Entered, Left
from outvote.protocols.pbft.authenticators.state import BELIEVED
from outvote.protocols.pbft.checkpoint import fetch
from outvote.protocols.pbft.messages import Status
from outvote.protocols.pbft.slot import PRE_PREPARED_MAX
from outvote.protocols.pbft.state import State
from outvote.types import Digest, Position, ReplicaId, Seal


def leave(state: State) -> None:
    """Show h, C, P and Q. The record makes it final before it is said."""
    unsigned = state.unsigned
    unsigned.announced = None
    unsigned.entered = None
    unsigned.current = {
        sender: held for sender, held in unsigned.latest.items() if held[0].view == state.view
    }
    unsigned.pending = {leader: one for leader, one in unsigned.pending.items() if one.view >= state.view}
    forget_unnamed(state)
    slots = sorted(state.slots.items())
    message = ViewChange(
        state.view,
        state.low,
        ((state.low, state.certified.digest), *sorted(state.own_digests.items())),
        tuple(
            PreparedEntry(position, slot.prepared.digest, slot.prepared.view)
            for position, slot in slots
            if slot.prepared is not None
        ),
        tuple(
            PrePreparedEntry(position, tuple(sorted(slot.pre_prepared.items())))
            for position, slot in slots
            if slot.pre_prepared
        ),
    )
    unsigned.mine = message
    state.out.records.append(Left(message))
    state.out.messages.append((ALL, message))


def sound_view_change(message: ViewChange, window: int) -> bool:
    """P and Q lie in the window and in earlier views, h is among the checkpoints, and everything ascends."""
    low, high = message.stable, message.stable + window
    places = [position for position, _ in message.checkpoints]
    # A state that was fetched on the word of f + 1 may lie beyond the window.
    if not places or places[0] != low or not ascending(places):
        return False
    prepared = [entry.position for entry in message.prepared]
    pre_prepared = [entry.position for entry in message.pre_prepared]
    for positions in (prepared, pre_prepared):
        if positions and not (low < positions[0] and positions[-1] <= high and ascending(positions)):
            return False
    if any(not 0 <= entry.view < message.view for entry in message.prepared):
        return False
    return all(sound_entry(entry, message) for entry in message.pre_prepared)


def sound_entry(entry: PrePreparedEntry, message: ViewChange) -> bool:
    digests = [digest for digest, _ in entry.digests]
    return (
        1 <= len(digests) <= PRE_PREPARED_MAX
        and all(one < other for one, other in pairwise(digests))
        and all(0 <= view < message.view for _, view in entry.digests)
    )


def ascending(positions: list[Position]) -> bool:
    return all(one < other for one, other in pairwise(positions))


def on_view_change(state: State, sender: ReplicaId, message: ViewChange, _seal: Seal) -> None:
    if not sound_view_change(message, state.config.window):
        state.out.lies.append((sender, "view-change that no log could give"))
        return
    unsigned = state.unsigned
    digest = digest_of(message)
    unsigned.latest[sender] = (message, digest)
    if message.view == state.view:
        unsigned.current[sender] = (message, digest)
    state.asked[sender] = message.view
    acknowledge(state, sender, message, digest)
    view_change.join_higher_view(state)
    try_new_view(state)
    try_enter(state)


def acknowledge(state: State, sender: ReplicaId, message: ViewChange, digest: Digest) -> None:
    state.unsigned.acks[state.me, sender] = (message.view, digest)
    state.out.hints.append((ALL, ViewChangeAck(message.view, sender, digest)))


def on_view_change_ack(state: State, acknowledger: ReplicaId, message: ViewChangeAck, _seal: Seal) -> None:
    state.unsigned.acks[acknowledger, message.sender] = (message.view, message.digest)
    try_new_view(state)
    try_enter(state)


def try_new_view(state: State) -> None:
    """The new primary announces its view once VIEW-CHANGEs that others can vouch for decide where it begins."""
    unsigned = state.unsigned
    if state.active or state.leader() != state.me or unsigned.announced is not None:
        return
    certified = [
        (sender, message, digest)
        for sender, (message, digest) in sorted(unsigned.current.items())
        if sender == state.me or vouched(state, sender, message, digest)
    ]
    if len(certified) < state.committee.quorum:
        return
    choice = choose([message for _, message, _ in certified], state.committee)
    if choice is None:
        return
    message = NewView(state.view, tuple((sender, digest) for sender, _, digest in certified), *choice)
    unsigned.announced = message
    state.out.records.append(Announced(message))  # a second NEW-VIEW for this view must be this one
    state.out.messages.append((ALL, message))


def vouched(state: State, sender: ReplicaId, message: ViewChange, digest: Digest) -> bool:
    """2 f - 1 acks of others: with its sender and this primary a quorum heard it, so f + 1 correct replicas can say so
    to whoever did not."""
    others = [one for one in state.unsigned.acknowledgers(message.view, sender, digest) if one != state.me]
    return len(others) >= state.committee.quorum - 2


def on_new_view(state: State, sender: ReplicaId, message: NewView, _seal: Seal) -> None:
    if sender != state.committee.leader(message.view):
        state.out.lies.append((sender, "new-view of a view it does not lead"))
        return
    consider(state, sender, message)


def on_entered_view(state: State, sender: ReplicaId, message: EnteredView, _seal: Seal) -> None:
    """A NEW-VIEW that we missed. It proves itself by what it names; that f + 1 say so keeps a liar from leading us
    into the right view by another way than everybody else's."""
    unsigned = state.unsigned
    unsigned.entered_words[sender] = message.message
    saying = [one for one in unsigned.entered_words.values() if one == message.message]
    if len(saying) >= state.committee.weak:
        consider(state, BELIEVED, message.message)
    elif sender == state.committee.leader(message.message.view):
        consider(state, sender, message.message)


def consider(state: State, leader: ReplicaId, message: NewView) -> None:
    """Wait for what it names; a NEW-VIEW of a higher view takes the place of the same leader's."""
    held = state.unsigned.pending.get(leader)
    if held is not None and held.view >= message.view:
        return
    state.unsigned.pending[leader] = message
    forget_unnamed(state)
    try_enter(state)
    ask_for_named(state)


def forget_unnamed(state: State) -> None:
    unsigned = state.unsigned
    unsigned.fetched = {key: one for key, one in unsigned.fetched.items() if unsigned.names(*key)}


def named(state: State, message: NewView, sender: ReplicaId, digest: Digest) -> ViewChange | None:
    """The VIEW-CHANGE that a NEW-VIEW names, if it is at hand and really its sender's."""
    unsigned = state.unsigned
    held = unsigned.told(sender, digest)
    if held is not None:
        return held
    fetched = unsigned.fetched.get((sender, digest))
    saying = len(list(unsigned.acknowledgers(message.view, sender, digest)))
    return fetched if saying >= state.committee.weak else None


def ask_for_named(state: State) -> None:
    """For each VIEW-CHANGE that is missing; acks for it come with the answers to our STATUS."""
    unsigned = state.unsigned
    for _, pending in sorted(unsigned.pending.items()):
        for sender, digest in pending.view_changes:
            if unsigned.told(sender, digest) is None and (sender, digest) not in unsigned.fetched:
                state.out.hints.append((ALL, FetchViewChange(sender, digest)))


def on_fetch_view_change(state: State, sender: ReplicaId, message: FetchViewChange, _seal: Seal) -> None:
    held = state.unsigned.told(message.sender, message.digest)
    if held is not None and sender != state.me:
        state.out.hints.append((sender, ViewChangeAck(held.view, message.sender, message.digest)))
        state.out.hints.append((sender, FetchedViewChange(message.sender, held)))


def on_fetched_view_change(state: State, sender: ReplicaId, message: FetchedViewChange, _seal: Seal) -> None:
    """Kept if the NEW-VIEW that we wait with names it; anything else was not asked for."""
    unsigned = state.unsigned
    key = message.sender, digest_of(message.message)
    if not unsigned.names(*key):
        return  # no lie: the NEW-VIEW may have been replaced meanwhile
    unsigned.fetched[key] = message.message
    try_enter(state)


def try_enter(state: State) -> None:
    """Once all that the NEW-VIEW names is at hand: enter if it follows from that, else ask for the next view."""
    for leader, pending in sorted(state.unsigned.pending.items()):
        if state.unsigned.pending.get(leader) is pending:  # the one before may have moved us
            try_enter_by(state, leader, pending)


def try_enter_by(state: State, leader: ReplicaId, pending: NewView) -> None:
    if pending.view < state.view or (pending.view == state.view and state.active):
        del state.unsigned.pending[leader]
        return
    messages: list[ViewChange] = []
    for sender, digest in pending.view_changes:
        message = named(state, pending, sender, digest)
        if message is None:
            return
        messages.append(message)
    del state.unsigned.pending[leader]
    forget_unnamed(state)
    if not follows(state, pending, messages):
        state.out.lies.append(
            (state.committee.leader(pending.view), "new-view that does not follow from its view-changes")
        )
        if pending.view == state.view:
            view_change.leave_for(state, state.view + 1)
        return
    state.out.records.append(Entered(pending))
    enter(state, pending, messages)


def follows(state: State, message: NewView, messages: list[ViewChange]) -> bool:
    """A quorum asked for exactly this view, and X is what `choose` says."""
    if not all(one.view == message.view and sound_view_change(one, state.config.window) for one in messages):
        return False
    choice = choose(messages, state.committee)
    return choice == Choice(message.start, message.start_digest, message.proposals)


def enter(state: State, message: NewView, messages: list[ViewChange]) -> None:
    """Take part in the view, bound by O; fetch what O begins behind, if it was not executed here."""
    view_change.begin(state, message.view)
    unsigned = state.unsigned
    unsigned.entered = message
    unsigned.announced = None
    unsigned.current = {
        sender: (one, digest) for (sender, digest), one in zip(message.view_changes, messages, strict=True)
    }
    start_from(state, message, messages)
    require(state, message)
    view_change.take_part(state)


def require(state: State, message: NewView) -> None:
    """Bind this replica to O."""
    state.required = {position: digest for position, digest in message.proposals if position > state.low}
    state.required_end = message.start + len(message.proposals)
    state.next_position = max(message.start, state.low) + 1


def start_from(state: State, message: NewView, messages: list[ViewChange]) -> None:
    """f + 1 replicas vouch for the checkpoint, so a correct one executed up to it: what lies before is proposed to
    nobody again, so who has not got it fetches that state. The window moves when a quorum has said CHECKPOINT."""
    position, digest = message.start, message.start_digest
    if position <= state.low:
        return
    own = state.own_digests.get(position)
    behind = own is None and state.delivered < position
    if not behind and own in (None, digest):
        return
    if state.fetching is not None and state.fetching.position >= position:
        return
    vouching = [
        sender
        for (sender, _), one in zip(message.view_changes, messages, strict=True)
        if (position, digest) in one.checkpoints
    ]
    fetch(state, CheckpointCertificate(position, digest, tuple((one, b"") for one in vouching)), weak=True)


def answer_view(state: State, sender: ReplicaId, message: Status) -> None:
    """The VIEW-CHANGE and acks that the sender may lack, or what we entered by."""
    unsigned = state.unsigned
    if not state.active:
        if unsigned.mine is not None:
            state.out.messages.append((sender, unsigned.mine))
        if unsigned.announced is not None:
            state.out.messages.append((sender, unsigned.announced))
        for of, (held, digest) in sorted(unsigned.current.items()):
            state.out.hints.append((sender, ViewChangeAck(held.view, of, digest)))
    elif unsigned.entered is not None and (message.view < state.view or not message.active):
        state.out.hints.append((sender, EnteredView(unsigned.entered)))
        for of, (held, digest) in sorted(unsigned.current.items()):
            state.out.hints.append((sender, ViewChangeAck(held.view, of, digest)))
