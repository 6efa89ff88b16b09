"""From records to state and back: a restarted replica is bound by every promise, and makes them again.

Kept: `restore(summary())` gives a state that would answer every message like the one that wrote the summary.
"""

from __future__ import annotations

from collections.abc import Sequence

from outvote.core.checkpoints import GENESIS, CheckpointCertificate
from outvote.core.contract import ALL, Record, digest_of
from outvote.protocols.pbft import checkpoint
from outvote.protocols.pbft.messages import Batch, Commit, Prepare, PrePrepare
from outvote.protocols.pbft.normal import deliver, deliver_ready
from outvote.protocols.pbft.records import (
    Accepted,
    Announced,
    Body,
    Certified,
    Committed,
    Entered,
    Left,
    Prepared,
)
from outvote.protocols.pbft.state import State
from outvote.types import Digest, Position


def summary(state: State) -> list[Record]:
    """At most: one certificate, one view, and per slot of the window three batches and three certificates."""
    records: list[Record] = []
    if state.certified.position:
        records.append(Certified(state.certified))
    records += state.form.summary(state)
    for position, slot in sorted(state.slots.items()):
        for digest, batch in sorted(slot.batches.items()):
            if digest == slot.digest:
                records.append(Accepted(state.view, position, digest, batch, slot.seal))
            else:
                records.append(Body(position, batch))
        if slot.prepared is not None:
            records.append(Prepared(slot.prepared))
        if slot.committed is not None:
            records.append(Committed(slot.committed))
    return records


def restore(state: State, position: Position, digest: Digest, records: Sequence[Record]) -> None:
    """`position` and `digest` tell the state that the executor came back with."""
    state.form.restore(state, records)
    certified = max(
        (record.certificate for record in records if isinstance(record, Certified)),
        key=lambda certificate: certificate.position,
        default=GENESIS,
    )
    state.certified = certified
    for record in records:
        restore_slot(state, record)
        state.form.restore_slot(state, record)
    for slot in state.slots.values():
        slot.prune()
        if slot.decided_batch() is None:
            slot.committed = None  # without its batch it must be asked for again
    state.delivered = position
    state.stored = position
    restore_proposals(state)
    promise_again(state)
    if position > certified.position or (position, digest) == (certified.position, certified.digest):
        deliver_ready(state)
    elif not execute_again(state, records):
        # The snapshot is older than what was certified, or rotten, and the log in between is gone.
        fetch_restored(state, certified)


def execute_again(state: State, records: Sequence[Record]) -> bool:
    """Whether the log leads from the snapshot to the certified checkpoint, as it does when a crash came before the
    snapshot of that checkpoint was stored; then go that way. Others may be in the same place, so that there is nobody
    to fetch from."""
    batches: dict[Digest, Batch] = {}
    decided: dict[Position, Digest] = {}
    for record in records:
        if isinstance(record, Accepted):
            batches[record.digest] = record.batch
        elif isinstance(record, Body):
            batches[digest_of(record.batch)] = record.batch
        elif isinstance(record, Committed):
            decided[record.decision.position] = record.decision.digest
    way = range(state.delivered + 1, state.low + 1)
    if not way or any(decided.get(position) not in batches for position in way):
        return False
    state.executes_again = True
    for position in way:
        deliver(state, position, batches[decided[position]])
    deliver_ready(state)
    return True


def fetch_restored(state: State, certified: CheckpointCertificate) -> None:
    if certified.position:
        checkpoint.fetch(state, certified)


def summary_of_views(state: State) -> list[Record]:
    """The last word on views."""
    records: list[Record] = []
    if state.new_view is not None:
        records.append(Entered(*state.new_view))
    if not state.active and state.my_view_change is not None:
        records.append(Left(state.my_view_change))
        if state.announced is not None:
            records.append(Announced(state.announced))
    return records


def restore_view(state: State, records: Sequence[Record]) -> None:
    """The last word on views: Left and Entered come in the order in which they were promised."""
    for record in records:
        if isinstance(record, Left) and record.message.view > state.view:
            state.view = record.message.view
            state.active = False
            state.my_view_change = record.message
            state.new_view = None
            state.announced = None
        elif isinstance(record, Entered) and record.message.view >= state.view:
            state.view = record.message.view
            state.active = True
            state.new_view = (record.message, record.seal)
            state.announced = None
        elif isinstance(record, Announced) and record.message.view == state.view and not state.active:
            state.announced = record.message


def restore_slot(state: State, record: Record) -> None:
    """Beyond the window lie records whose checkpoint's note, appended behind them, was torn off in a crash: they were
    not synced either, so nobody was told of them."""
    if isinstance(record, Accepted) and state.in_window(record.position):
        slot = state.slot(record.position)
        slot.batches[record.digest] = record.batch
        if state.form.keeps_pre_prepared:
            slot.note_pre_prepared(record.view, record.digest)
        if record.view == state.view and state.active:
            slot.digest = record.digest
            slot.seal = record.seal or slot.seal
            slot.heard = bool(slot.seal) or not state.leads()
            state.accepted_end = max(state.accepted_end, record.position)
    elif isinstance(record, Body) and state.in_window(record.position):
        state.slot(record.position).batches[digest_of(record.batch)] = record.batch
    elif isinstance(record, Prepared) and state.in_window(record.certificate.position):
        slot = state.slot(record.certificate.position)
        slot.note_prepared(record.certificate)
        if record.certificate.view == state.view and state.active:
            slot.prepared_now = True
    elif isinstance(record, Committed) and state.in_window(record.decision.position):
        state.slot(record.decision.position).committed = record.decision


def restore_proposals(state: State) -> None:
    """What the view requires, and where the primary stopped proposing: it goes in order, so behind the last one."""
    state.form.bind(state)
    state.next_position = max(state.next_position, state.accepted_end + 1)


def promise_again(state: State) -> None:
    """Say again what the records bind us to. Others know it already or need it; our own copy counts our vote."""
    if not state.active:
        state.out.messages += [(ALL, message) for message in state.form.promises(state)]
        return
    for position, slot in sorted(state.slots.items()):
        if not slot.digest:
            continue
        if state.leads():
            state.out.messages.append((ALL, PrePrepare(state.view, position, slot.digest, slot.batches[slot.digest])))
        else:
            state.out.messages.append((ALL, Prepare(state.view, position, slot.digest)))
        if slot.prepared_now:
            state.out.messages.append((ALL, Commit(state.view, position, slot.digest)))
