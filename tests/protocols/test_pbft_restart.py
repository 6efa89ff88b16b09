"""What a restarted PBFT replica is bound by. Each of these was once wrong, and the simulator found it."""

from __future__ import annotations

import msgspec
from pbft_pieces import CONFIG, batch, certified, core, hear, prepared, proposal, recorded, request, said, seal

from outvote.core.checkpoints import Checkpoint
from outvote.core.committee import Committee
from outvote.core.contract import Record, Stable, digest_of
from outvote.protocols.pbft.config import PbftConfig
from outvote.protocols.pbft.messages import Commit, Decided, Decision, PrePrepare, StableProof, Status
from outvote.protocols.pbft.records import Accepted, Certified, Committed, Prepared
from outvote.protocols.pbft.replica import PbftReplica

A = digest_of(batch(1))


ONE_EACH = msgspec.structs.replace(CONFIG, batch_requests_max=1)  # every batch is full: they follow without waiting


def restored(
    me: int, records: list[Record], position: int = 0, digest: bytes = b"", config: PbftConfig = CONFIG
) -> PbftReplica:
    made = PbftReplica(me, Committee(4), config)
    made.restore(position, digest, records)
    return made


def test_a_proposal_not_yet_heard_back_is_in_the_summary() -> None:
    """A stable checkpoint may begin the log anew between a proposal and the return of the primary's own copy."""
    primary = core(0, config=ONE_EACH)
    primary.submit([request()])
    proposals = said(primary, PrePrepare)
    assert len(proposals) == 1
    summary = primary.summary()
    assert summary == recorded(primary, Accepted)
    again = restored(0, summary, config=ONE_EACH)
    assert said(again, PrePrepare) == proposals
    again.out.clear()
    again.submit([request(2)])
    assert [message.position for message in said(again, PrePrepare) if isinstance(message, PrePrepare)] == [2]


def test_a_decision_without_its_batch_is_asked_for_again() -> None:
    """DECIDED brought the batch; the note of the decision came back from the disk, the batch did not."""
    again = restored(2, [Committed(Decision(0, 1, A, (0, 1), True))])
    again.out.clear()
    again.now = again.wake_at
    again.wake()
    statuses = [message for message in said(again, Status) if isinstance(message, Status)]
    assert [status.phases for status in statuses] == [b""], "it does not say that it has what it cannot execute"
    hear(again, 0, Decided(1, batch(1)))
    hear(again, 1, Decided(1, batch(1)))
    assert [delivery.position for delivery in again.out.deliveries] == [1]


def test_a_decision_with_its_batch_is_executed_at_once() -> None:
    again = restored(2, [Accepted(0, 1, A, batch(1), seal(0)), Committed(Decision(0, 1, A, (0, 1, 3), False))])
    assert [delivery.position for delivery in again.out.deliveries] == [1]


def test_a_log_torn_before_the_note_of_a_checkpoint_is_no_obstacle() -> None:
    """Notes are appended behind the records of their turn, so a vote above the old window may survive without the
    checkpoint that moved the window. It was not synced, so nobody was told."""
    records: list[Record] = [Accepted(0, place, A, batch(1), seal(0)) for place in (5, 8, 9, 12)]
    records.append(Prepared(prepared(0, 11, A)))
    again = restored(1, records)
    assert sorted(again.state.slots) == [5, 8]
    again = restored(1, [*records, Certified(certified(4))], position=4, digest=b"s" * 32)
    assert sorted(again.state.slots) == [5, 8, 9, 11, 12]


def test_promises_are_made_again_and_no_others() -> None:
    backup = core(1)
    hear(backup, 0, proposal(0, 1, batch(1)))
    again = restored(1, list(backup.out.records))
    assert again.out.messages == backup.out.messages
    hear(again, 0, proposal(0, 1, batch(2)))
    assert again.out.messages == backup.out.messages, "still bound to the first proposal"
    assert not said(again, Commit)


def test_who_vouches_for_a_state_comes_back_with_it() -> None:
    """Others may forget on our CHECKPOINT how to get there: with f liars' votes, ours, and a loss of power a state
    could be certified that nobody has. So what is durable when it is said suffices, one of the batches told by others
    included."""
    one = core(1)
    for position in (1, 2, 3):
        hear(one, 0, proposal(0, position, batch(position)))
        for voter in (0, 2, 3):
            hear(one, voter, Commit(0, position, digest_of(batch(position))))
    for teller in (0, 2):
        hear(one, teller, Decided(4, batch(4)))
    assert [delivery.position for delivery in one.out.deliveries] == [1, 2, 3, 4]
    one.out.deliveries.clear()
    records = one.out.records[:]
    notes = one.out.notes[:]
    one.out.clear()
    one.executed(4, b"s" * 32)
    assert said(one, Checkpoint) == [Checkpoint(4, b"s" * 32)]
    assert one.out.records, "a record takes the notes before it to the disk, and CHECKPOINT waits for it"
    again = restored(1, [*records, *notes, *one.out.records])
    assert [delivery.position for delivery in again.out.deliveries] == [1, 2, 3, 4]


def test_a_log_that_leads_to_the_certified_state_is_followed() -> None:
    """The power fails everywhere after a checkpoint was certified and before anybody's snapshot of it was stored: who
    forgets the way there then and wants to fetch finds nobody to fetch from."""
    records: list[Record] = []
    for place in (1, 2, 3, 4):
        digest = digest_of(batch(place))
        records.append(Accepted(0, place, digest, batch(place), seal(0)))
        records.append(Committed(Decision(0, place, digest, (0, 1, 2), False)))
    records += [Certified(certified(4)), Accepted(0, 5, A, batch(1), seal(0)), Prepared(prepared(0, 12, A))]
    again = restored(1, records)
    assert [delivery.position for delivery in again.out.deliveries] == [1, 2, 3, 4]
    assert not again.out.transfers
    assert sorted(again.state.slots) == [5, 12], "bound by what lies in the certified window"
    again.out.clear()
    again.executed(4, b"s" * 32)
    assert again.out.stable == [Stable(4, b"s" * 32)], "now the snapshot can be stored"
    wrong = restored(1, records)
    wrong.executed(4, b"w" * 32)
    assert [transfer.position for transfer in wrong.out.transfers] == [4]
    gap = restored(1, [record for record in records if record != records[3]])
    assert not gap.out.deliveries
    assert [transfer.position for transfer in gap.out.transfers] == [4]


def test_a_state_already_executed_is_not_fetched() -> None:
    """Its digest may come late: the host holds it back until the fetched state before it is stored."""
    one = core(1)
    for place in (1, 2, 3, 4):
        for teller in (0, 2):
            hear(one, teller, Decided(place, batch(place)))
    assert one.state.delivered == 4
    hear(one, 0, StableProof(certified(4)))
    assert not one.out.transfers
    one.executed(4, b"s" * 32)
    assert [stable.position for stable in one.out.stable] == [4]
