"""Retransmission: replicas say how far they are, and others send what they lack (Castro's thesis, section 5.2).

Nothing is acknowledged and nothing is resent on a timer: a loss shows in the loser's next STATUS. An idle replica
sends one too, so a primary that keeps somebody in the dark is found out (see the flaw in the README's deviations).
"""

from __future__ import annotations

from outvote.core.checkpoints import Checkpoint
from outvote.core.contract import ALL, Message, digest_of
from outvote.protocols.pbft.messages import (
    PHASE_COMMITTED,
    PHASE_PREPARED,
    PHASE_PROPOSED,
    PHASES_MAX,
    Commit,
    Decided,
    Decision,
    FetchBatch,
    FetchedBatch,
    NewViewProof,
    Prepare,
    PrePrepare,
    Status,
)
from outvote.protocols.pbft.normal import decide
from outvote.protocols.pbft.records import Body
from outvote.protocols.pbft.slot import Slot
from outvote.protocols.pbft.state import State
from outvote.protocols.pbft.view_change import propose_required
from outvote.types import ReplicaId, Seal

ANSWERED_BYTES_MAX = 2 * 1024 * 1024  # of batches in answer to one STATUS: two largest batches
ANSWERED_SLOTS_MAX = 32


def send_status(state: State) -> None:
    phases = bytearray()
    for position in range(state.delivered + 1, min(state.delivered + PHASES_MAX, state.high) + 1):
        slot = state.slots.get(position)
        phases.append(phase_of(slot) if slot is not None else 0)
    while phases and not phases[-1]:
        phases.pop()
    state.out.hints.append(
        (ALL, Status(state.view, state.active, state.low, state.delivered, bytes(phases)))
    )


def phase_of(slot: Slot) -> int:
    return (
        (PHASE_PROPOSED if slot.digest else 0)
        | (PHASE_PREPARED if slot.prepared_now else 0)
        | (PHASE_COMMITTED if slot.committed is not None else 0)
    )


def on_status(state: State, sender: ReplicaId, message: Status, _seal: Seal) -> None:
    """Send what the sender lacks: at most once in half an interval, so that asking is no amplifier."""
    if sender == state.me:
        return
    state.heard_delivered[sender] = message.delivered
    last = state.answered_status.get(sender)
    if last is not None and state.now - last < state.config.status_interval_ns // 2:
        return
    state.answered_status[sender] = state.now
    if message.view <= state.view:
        state.form.answer_view(state, sender, message)
    if message.stable < state.low:
        state.out.hints.append((sender, state.form.stable_proof(state)))
    for position, digest in sorted(state.own_digests.items()):
        if position > message.stable:
            state.out.messages.append((sender, Checkpoint(position, digest)))
    answer_slots(state, sender, message)
    ask_for_votes(state, sender, message)


def answer_view(state: State, sender: ReplicaId, message: Status) -> None:
    """The VIEW-CHANGE or NEW-VIEW that the sender of a STATUS of this view or a lower one may lack."""
    if not state.active:
        if state.my_view_change is not None:
            state.out.messages.append((sender, state.my_view_change))
    elif state.new_view is not None and (message.view < state.view or not message.active):
        new_view, seal = state.new_view
        state.out.hints.append((sender, NewViewProof(state.leader(), new_view, seal)))


def answer_slots(state: State, sender: ReplicaId, message: Status) -> None:
    same_view = message.active and state.active and message.view == state.view
    size = 0
    first = max(message.delivered, state.low) + 1
    for position in range(first, min(first + ANSWERED_SLOTS_MAX, state.high + 1)):
        slot = state.slots.get(position)
        if slot is None:
            continue
        index = position - message.delivered - 1
        phase = message.phases[index] if index < len(message.phases) else 0
        batch = slot.decided_batch()
        if slot.committed is not None and batch is not None:
            if phase & PHASE_COMMITTED:
                continue
            size += sum(request.size_bytes() for request in batch.requests)
            state.out.hints.append((sender, Decided(position, batch)))
        if same_view:  # f others may be silent: then our word that it is decided is too little, and our vote is needed
            size += repeat(state, sender, slot, phase)
        if size > ANSWERED_BYTES_MAX:
            return


def ask_for_votes(state: State, sender: ReplicaId, message: Status) -> None:
    """The sender is past positions that are undecided here: it lacks nothing, so it never asks for what this view says
    of them; but its votes are needed, and it can give them only if it has what they follow from."""
    if not (message.active and state.active and message.view == state.view):
        return
    size = 0
    last = min(message.delivered, state.high, state.delivered + ANSWERED_SLOTS_MAX)
    for position in range(state.delivered + 1, last + 1):
        slot = state.slots.get(position)
        if slot is not None and slot.committed is None and not slot.commits.has(sender):
            size += repeat(state, sender, slot, 0)
        if size > ANSWERED_BYTES_MAX:
            return


def repeat(state: State, sender: ReplicaId, slot: Slot, phase: int) -> int:
    """Say our promises of this view again to one that may lack them; returns the bytes of the batches."""
    size = 0
    for again in promises_again(state, slot, phase):
        if isinstance(again, PrePrepare):
            size += sum(request.size_bytes() for request in again.batch.requests)
        state.out.messages.append((sender, again))
    return size


def promises_again(state: State, slot: Slot, phase: int) -> list[Message]:
    """The promises of ours that the other may have missed: the very same statements, so the same seals."""
    again: list[Message] = []
    if not slot.digest:
        return again
    if state.leads():
        if not phase & PHASE_PROPOSED:
            batch = slot.batches[slot.digest]
            again.append(PrePrepare(state.view, slot.position, slot.digest, batch))
    elif not phase & PHASE_PREPARED:
        again.append(Prepare(state.view, slot.position, slot.digest))
    if slot.prepared_now:
        again.append(Commit(state.view, slot.position, slot.digest))
    return again


def on_decided(state: State, sender: ReplicaId, message: Decided, _seal: Seal) -> None:
    """Final in any view, so taken even while the view is being changed; but one replica's word is not enough.

    Of a batch only the digest is kept until f + 1 replicas named it: the last of them brings the batch along.
    """
    digest = digest_of(message.batch)
    slot = state.slot(message.position)
    if slot.told.add(sender, digest, b"") and slot.told.count(digest) >= state.committee.weak:
        if digest not in slot.batches:
            slot.batches[digest] = message.batch
            state.out.records.append(Body(message.position, message.batch))
        decide(state, slot, Decision(state.view, message.position, digest, slot.told.voters(digest), True))


def on_fetch_batch(state: State, sender: ReplicaId, message: FetchBatch, _seal: Seal) -> None:
    slot = state.slots.get(message.position)
    batch = slot.batches.get(message.digest) if slot is not None else None
    if batch is not None and sender != state.me:
        state.out.hints.append((sender, FetchedBatch(message.position, batch)))


def on_fetched_batch(state: State, sender: ReplicaId, message: FetchedBatch, _seal: Seal) -> None:
    """Wanted only by a new primary, for a position of O; the digest there proves the batch."""
    digest = digest_of(message.batch)
    if not state.leads() or state.required.get(message.position) != digest:
        state.out.lies.append((sender, "batch that nobody asked for"))
        return
    if message.position == state.next_position:
        state.slot(message.position).batches[digest] = message.batch
        propose_required(state)
