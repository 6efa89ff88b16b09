"""Normal case, section 4.2: PRE-PREPARE, PREPARE, COMMIT, and delivery in order.

Kept: in one view a position is accepted with one digest only, and PREPARE, COMMIT follow a durable record of that.
"""

from __future__ import annotations

from outvote.core.contract import ALL, Delivery, digest_of
from outvote.protocols.pbft import large, performance, tentative
from outvote.protocols.pbft.messages import (
    Batch,
    BriefPrePrepare,
    Commit,
    Decision,
    Prepare,
    PreparedCertificate,
    PrePrepare,
)
from outvote.protocols.pbft.records import Accepted, Committed, Prepared
from outvote.protocols.pbft.slot import Slot
from outvote.protocols.pbft.state import State
from outvote.types import Position, ReplicaId, Seal


def try_propose(state: State) -> None:
    """Cut batches while the primary may: all that the new view requires is out, the window and pipeline have room."""
    if not state.leads() or state.next_position <= state.required_end:
        return
    config = state.config
    state.next_position = max(state.next_position, state.delivered + 1, state.low + 1)
    while (
        state.pool.has_unproposed()
        and state.next_position <= state.high
        and worth_proposing(state, state.next_position - state.answered - 1)
    ):
        requests = state.pool.cut(config.batch_requests_max, config.batch_bytes_max)
        propose(state, state.next_position, Batch(state.wall, requests))
        state.next_position += 1


def worth_proposing(state: State, under_way: int) -> bool:
    """One batch at a time while they are small: what comes meanwhile makes the next one larger, and the cost of a
    decision is shared by more. Full batches follow each other without waiting, up to the pipeline's depth."""
    if not under_way:
        return True
    config = state.config
    return under_way < config.pipeline and state.pool.fills(config.batch_requests_max, config.batch_bytes_max)


def propose(state: State, position: Position, batch: Batch) -> None:
    """The primary's promise: accepted here at once, or a summary written before its own copy comes back with the
    seal would forget it, and a crash then make the primary propose something else."""
    digest = digest_of(batch)
    slot = state.slot(position)
    slot.digest = digest
    slot.batches[digest] = batch
    if state.form.keeps_pre_prepared:
        slot.note_pre_prepared(state.view, digest)
    state.accepted_end = max(state.accepted_end, position)
    for request in batch.requests:
        state.pool.mark_proposed(request)
    state.out.records.append(Accepted(state.view, position, digest, batch, b""))
    state.out.messages.append((ALL, large.proposal(state, position, digest, batch)))


def on_brief_pre_prepare(state: State, sender: ReplicaId, message: BriefPrePrepare, seal: Seal) -> None:
    """The same promise; accepted when its large requests are at hand."""
    if sender != state.leader():
        state.out.lies.append((sender, "pre-prepare of a view it does not lead"))
        return
    complete = large.whole(state, message)
    if complete is not None and digest_of(complete.batch) == message.digest:
        on_pre_prepare(state, sender, complete, seal)
    elif state.slot(message.position).digest:
        state.out.lies.append((sender, "two pre-prepares for one position"))
        suspect_leader(state)
    else:
        state.briefs.setdefault(message.position, (message, seal))
        state.accepted_end = max(state.accepted_end, message.position)  # the view timer waits for it


def complete_briefs(state: State) -> None:
    """A large request has come from its client: perhaps a proposal waited for it."""
    for position, (message, seal) in sorted(state.briefs.items()):
        slot = state.slots.get(position)
        if message.view != state.view or not state.in_window(position) or (slot is not None and slot.digest):
            del state.briefs[position]
            continue
        complete = large.whole(state, message)
        if complete is not None and digest_of(complete.batch) == message.digest:
            del state.briefs[position]
            on_pre_prepare(state, state.leader(), complete, seal)


def on_pre_prepare(state: State, sender: ReplicaId, message: PrePrepare, seal: Seal) -> None:
    if sender != state.leader():
        state.out.lies.append((sender, "pre-prepare of a view it does not lead"))
        return
    slot = state.slot(message.position)
    if slot.digest:
        if slot.digest == message.digest:
            slot.seal = slot.seal or seal  # a restarted primary learns its own seal anew
            slot.heard = True
            try_prepare(state, slot)
        else:
            # The host keeps both seals as evidence. Whoever holds them need not wait for the timer.
            state.out.lies.append((sender, "two pre-prepares for one position"))
            suspect_leader(state)
        return
    if digest_of(message.batch) != message.digest:
        state.out.lies.append((sender, "pre-prepare whose batch has another digest"))
        return
    if not acceptable(state, message):
        state.out.lies.append((sender, "pre-prepare that this view does not allow"))
        return
    if not timely(state, slot, message):
        return  # no lie: it may have been said long ago, before the link or one of us was down
    slot.digest = message.digest
    slot.seal = seal
    slot.heard = True
    if state.form.keeps_pre_prepared:
        slot.note_pre_prepared(message.view, message.digest)
    state.accepted_end = max(state.accepted_end, message.position)
    slot.batches[message.digest] = message.batch
    performance.proposed(state, message)
    for request in message.batch.requests:
        state.pool.mark_proposed(request)
    if sender != state.me:
        state.out.records.append(Accepted(message.view, message.position, message.digest, message.batch, seal))
        state.out.messages.append((ALL, Prepare(message.view, message.position, message.digest)))
    try_prepare(state, slot)
    try_commit(state, slot)


def acceptable(state: State, message: PrePrepare) -> bool:
    """What the new view decided must be proposed as it is; a fresh proposal must be reasonable."""
    if message.position <= state.required_end:
        return state.required.get(message.position) == message.digest
    batch = message.batch
    config = state.config
    if not 1 <= len(batch.requests) <= config.batch_requests_max:
        return False
    if sum(request.size_bytes() for request in batch.requests) > config.batch_bytes_max:
        return False  # no honest primary cuts such a batch, and it may be too long for those who hand it on
    return all(request.operations for request in batch.requests)


def timely(state: State, slot: Slot, message: PrePrepare) -> bool:
    """The clock is asked only about fresh proposals: what was prepared once, or decided, is accepted later without a
    second look, or replicas whose clocks disagree could block it for ever."""
    if message.position <= state.required_end:
        return True
    if slot.committed is not None and slot.committed.digest == message.digest:
        return True
    return abs(message.batch.time - state.wall) <= state.config.time_tolerance_ns


def on_prepare(state: State, sender: ReplicaId, message: Prepare, seal: Seal) -> None:
    if sender == state.leader():
        # Its PRE-PREPARE is its vote; counting a PREPARE too would count it twice.
        state.out.lies.append((sender, "prepare from the primary"))
        return
    slot = state.slot(message.position)
    if slot.prepares.add(sender, message.digest, seal):
        try_prepare(state, slot)


def try_prepare(state: State, slot: Slot) -> None:
    """prepared(m, v, n, i): keep the certificate, then promise to show it."""
    quorum = state.committee.quorum
    if slot.prepared_now or not state.active or not slot.prepares_suffice(quorum):
        return
    slot.prepared_now = True
    certificate = PreparedCertificate(
        state.view, slot.position, slot.digest, state.leader(), slot.seal,
        slot.prepares.seals(slot.digest, quorum - 1),
    )
    slot.note_prepared(certificate)
    state.out.records.append(Prepared(certificate))
    state.out.messages.append((ALL, Commit(state.view, slot.position, slot.digest)))
    tentative.offer(state)


def on_commit(state: State, sender: ReplicaId, message: Commit, seal: Seal) -> None:
    slot = state.slot(message.position)
    if slot.commits.add(sender, message.digest, seal):
        try_commit(state, slot)


def try_commit(state: State, slot: Slot) -> None:
    """committed-local(m, v, n, i). A quorum of COMMITs suffices: f + 1 correct signers hold the certificate."""
    if slot.committed is not None:
        return
    quorum = state.committee.quorum
    digest = slot.commits_suffice(quorum)
    if digest is None:
        return
    decide(state, slot, Decision(state.view, slot.position, digest, slot.commits.voters(digest), False))


def decide(state: State, slot: Slot, decision: Decision) -> None:
    slot.committed = decision
    state.decided_end = max(state.decided_end, slot.position)
    state.out.notes.append(Committed(decision))
    deliver_ready(state)


def deliver_ready(state: State) -> None:
    """Hand decided batches to the executor, in order, without gaps."""
    if state.fetching is not None:
        return
    while (slot := state.slots.get(state.delivered + 1)) is not None:
        batch = slot.decided_batch()
        if batch is None or slot.committed is None:
            break
        deliver(state, slot.position, batch)
        state.fruitless_views = 0
    tentative.offer(state)


def deliver(state: State, position: Position, batch: Batch) -> None:
    """Decided, and next in order."""
    state.delivered = position
    performance.answered(state, position)
    for request in batch.requests:
        state.pool.mark_executed(request)
    state.out.deliveries.append(
        Delivery(
            position, batch.time, batch.requests, state.view, position % state.config.checkpoint_interval == 0
        )
    )


def suspect_leader(state: State) -> None:
    """Proof against the current primary is at hand: the view timer need not be waited for."""
    state.suspected = state.active

