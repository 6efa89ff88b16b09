"""From records to a PBFT replica and back, record by record: which word counts, what is said again, what is not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from pbft_pieces import (
    CONFIG,
    batch,
    certified,
    core,
    hear,
    new_view,
    prepared,
    proposal,
    said,
    seal,
    state_digest,
    view_change,
)

from outvote.core.checkpoints import Checkpoint
from outvote.core.committee import Committee
from outvote.core.contract import ALL, Message, Record, Transfer, digest_of
from outvote.protocols.pbft.messages import (
    NULL_BATCH,
    NULL_DIGEST,
    Commit,
    Decision,
    NewView,
    Prepare,
    PrePrepare,
)
from outvote.protocols.pbft.records import (
    Accepted,
    Announced,
    Body,
    Certified,
    Committed,
    Entered,
    Left,
    Prepared,
    certificates,
    marks,
)
from outvote.protocols.pbft.replica import SETTLING_INTERVALS, PbftReplica
from outvote.types import NEVER, SECOND

A, B, C = (digest_of(batch(number)) for number in (1, 2, 3))
S4, S8 = state_digest(4), state_digest(8)


def restored(me: int, *records: Record, position: int = 0, digest: bytes = b"", now: int = 0) -> PbftReplica:
    made = PbftReplica(me, Committee(4), CONFIG)
    made.now = now
    made.restore(position, digest, records)
    return made


def entered(view: int, *shown: tuple[int, bytes], n: int = 4) -> Entered:
    """NEW-VIEW for `view`, with O as given."""
    changes = dict.fromkeys(range(3), view_change(view, *(prepared(0, place, what) for place, what in shown)))
    return Entered(new_view(view, changes, shown), seal(view % n))


def accepted(view: int, position: int, number: int, own: bool = False) -> Accepted:
    return Accepted(view, position, digest_of(batch(number)), batch(number), b"" if own else seal(view % 4))


# ---------------------------------------------------------------------- the summary


def test_a_summary_has_the_checkpoint_the_view_and_each_place_in_order() -> None:
    one = core(3)
    one.restore(4, b"", [])
    one.executed(4, S4)
    for sender in (0, 1, 2):
        hear(one, sender, Checkpoint(4, S4))
    for position, number in ((6, 2), (5, 1)):
        hear(one, 0, proposal(0, position, batch(number)))
    for sender in (1, 2):
        hear(one, sender, Prepare(0, 5, A))
    for sender in (0, 1, 2):
        hear(one, sender, Commit(0, 5, A))
    wanted: list[Record] = [
        Certified(certified(4, S4)),
        accepted(0, 5, 1),
        Prepared(prepared(0, 5, A, (1, 2))),
        Committed(Decision(0, 5, A, (0, 1, 2), False)),
        accepted(0, 6, 2),
    ]
    assert one.summary() == wanted
    message = new_view(1, dict.fromkeys((0, 1, 2), view_change(1, prepared(0, 5, A, (1, 2)), stable=certified(4, S4))),
                       [(5, A)])  # fmt: skip
    hear(one, 1, message)
    hear(one, 1, proposal(1, 6, batch(3)))
    summary = one.summary()
    assert summary[:2] == [Certified(certified(4, S4)), Entered(message, seal(1))]
    assert Body(5, batch(1)) in summary, "not proposed in this view, and still prepared"
    assert Accepted(1, 6, C, batch(3), seal(1)) in summary
    assert not any(isinstance(record, Body) and record.position == 6 for record in summary)


def test_a_summary_between_views_has_what_was_said() -> None:
    one = core(1)
    assert one.summary() == []
    for sender in (2, 3):
        hear(one, sender, view_change(1))
    assert one.summary() == [Left(view_change(1))]
    hear(one, 1, view_change(1))
    (announced,) = said(one, NewView)
    assert isinstance(announced, NewView)
    assert one.summary() == [Left(view_change(1)), Announced(announced)]
    hear(one, 1, announced)
    assert one.summary() == [Entered(announced, seal(1))]


# ---------------------------------------------------------------------- the view


V1, V2 = entered(1), entered(2)


@pytest.mark.parametrize(
    ("records", "view", "active"),
    [
        ([], 0, True),
        ([Left(view_change(2))], 2, False),
        ([Left(view_change(2)), Left(view_change(1))], 2, False),
        ([Left(view_change(1)), V1], 1, True),
        ([V1, Left(view_change(1))], 1, True),
        ([V1, Left(view_change(2))], 2, False),
        ([V2, V1], 2, True),
        ([Left(view_change(2)), V1], 2, False),
        ([entered(0)], 0, True),
    ],
    ids=["none", "left", "left twice", "left and entered", "a repeat", "left again", "old", "later left", "view 0"],
)
def test_the_last_word_on_views_counts(records: Sequence[Record], view: int, active: bool) -> None:
    one = restored(3, *records)
    state = one.state
    assert (state.view, state.active) == (view, active)
    if active:
        last = [record for record in records if isinstance(record, Entered) and record.message.view == view]
        assert state.new_view == ((last[-1].message, last[-1].seal) if last else None)
    else:
        assert state.new_view is None
        assert state.my_view_change == view_change(view)


def test_what_was_announced_counts_while_its_view_is_not_entered() -> None:
    first, other = new_view(1, {}, []), new_view(2, {}, [])
    assert restored(1, Left(view_change(1)), Announced(first)).state.announced == first
    assert restored(1, Left(view_change(1)), Announced(other)).state.announced is None
    assert restored(1, Left(view_change(1)), Announced(first), V1).state.announced is None
    assert restored(1, Left(view_change(1)), Announced(first), Left(view_change(2))).state.announced is None
    assert restored(1, V1, Announced(first)).state.announced is None


def test_promises_between_views_are_made_again() -> None:
    announced = new_view(1, {}, [])
    one = restored(1, accepted(0, 1, 1), Left(view_change(1)), Announced(announced))
    assert one.out.messages == [(ALL, view_change(1)), (ALL, announced)]
    assert restored(1, Left(view_change(1))).out.messages == [(ALL, view_change(1))]


# ---------------------------------------------------------------------- places


def test_a_backup_says_again_what_it_accepted_and_prepared_in_this_view() -> None:
    one = restored(2, accepted(0, 2, 2), accepted(0, 1, 1), Prepared(prepared(0, 1, A)))
    wanted: list[tuple[int, Message]] = [
        (ALL, Prepare(0, 1, A)), (ALL, Commit(0, 1, A)), (ALL, Prepare(0, 2, B)),
    ]
    assert one.out.messages == wanted
    assert one.state.accepted_end == 2
    assert one.state.slots[1].seal == seal(0)
    assert one.state.slots[1].prepared_now
    assert not one.state.slots[2].prepared_now


def test_a_primary_says_its_proposals_again_and_goes_on_behind_them() -> None:
    one = restored(0, accepted(0, 1, 1, own=True), accepted(0, 2, 2, own=True), Prepared(prepared(0, 2, B)))
    wanted: list[tuple[int, Message]] = [
        (ALL, proposal(0, 1, batch(1))), (ALL, proposal(0, 2, batch(2))), (ALL, Commit(0, 2, B)),
    ]
    assert one.out.messages == wanted
    assert one.state.next_position == 3


def test_of_an_earlier_view_only_batches_and_certificates_remain() -> None:
    one = restored(
        3, accepted(0, 1, 1), Prepared(prepared(0, 1, A)), accepted(0, 2, 2), Left(view_change(1)), V1
    )
    slot = one.state.slots[1]
    assert not slot.digest
    assert not slot.prepared_now
    assert slot.prepared == prepared(0, 1, A)
    assert slot.batches == {A: batch(1)}
    assert not one.state.slots[2].batches, "nothing stands for it"
    assert not one.out.messages
    assert one.state.accepted_end == 0


def test_a_place_without_a_proposal_does_not_hide_later_ones() -> None:
    one = restored(
        3, accepted(0, 1, 1), Prepared(prepared(0, 1, A)), Left(view_change(1)), V1, accepted(1, 2, 2)
    )
    assert one.out.messages == [(ALL, Prepare(1, 2, B))]


def test_votes_of_a_view_that_was_left_are_not_repeated() -> None:
    one = restored(3, accepted(0, 1, 1), Prepared(prepared(0, 1, A)), Left(view_change(0)))
    assert one.state.active, "a VIEW-CHANGE for view 0 is none"
    one = restored(3, V1, accepted(1, 1, 1), Prepared(prepared(1, 1, A)), Left(view_change(2)))
    assert not one.state.slots[1].prepared_now
    assert not one.state.slots[1].digest
    assert one.out.messages == [(ALL, view_change(2))]


def test_a_later_certificate_counts_more_than_an_earlier_one() -> None:
    for order in ((0, 1), (1, 0)):
        records = [Prepared(prepared(view, 1, (A, B)[view])) for view in order]
        one = restored(3, Body(1, batch(1)), Body(1, batch(2)), *records)
        assert one.state.slots[1].prepared == prepared(1, 1, B)
        assert one.state.slots[1].batches == {B: batch(2)}


def test_the_seal_of_a_proposal_is_kept_if_a_repeat_has_none() -> None:
    one = restored(3, accepted(0, 1, 1), accepted(0, 1, 1, own=True))
    assert one.state.slots[1].seal == seal(0)


@pytest.mark.parametrize("position", [0, -1, 9])
def test_what_lies_outside_the_window_is_passed_over(position: int) -> None:
    one = restored(
        3, accepted(0, position, 1), Body(position, batch(1)), Prepared(prepared(0, position, A)),
        Committed(Decision(0, position, A, (0, 1, 2), False)),
    )
    assert not one.state.slots
    assert one.state.accepted_end == 0
    one = restored(3, accepted(0, 8, 1))
    assert list(one.state.slots) == [8]


def test_a_body_gives_a_decision_its_batch() -> None:
    one = restored(3, Committed(Decision(0, 1, A, (0, 1), True)), Body(1, batch(1)))
    assert [delivery.requests for delivery in one.out.deliveries] == [batch(1).requests]
    one = restored(3, Body(1, batch(1)))
    assert not one.state.slots[1].batches, "alone it stands for nothing"


def test_what_o_demands_binds_again() -> None:
    one = restored(3, entered(1, (1, A), (2, B)))
    assert one.state.required == {1: A, 2: B}
    assert (one.state.required_end, one.state.next_position) == (2, 1)
    hear(one, 1, proposal(1, 1, batch(3)))
    assert not said(one, Prepare)
    primary = restored(1, entered(1, (1, A)), accepted(1, 1, 1, own=True))
    assert primary.state.next_position == 2


def test_null_batches_are_proposed_again_like_others() -> None:
    record = Accepted(1, 1, NULL_DIGEST, NULL_BATCH, b"")
    one = restored(1, entered(1), record)
    assert said(one, PrePrepare) == [PrePrepare(1, 1, NULL_DIGEST, NULL_BATCH)]


# ---------------------------------------------------------------------- checkpoints


def test_the_highest_certified_checkpoint_is_the_low_watermark() -> None:
    one = restored(3, Certified(certified(8, S8)), Certified(certified(4, S4)), position=8, digest=S8)
    assert one.state.certified == certified(8, S8)
    assert one.state.delivered == 8
    assert not one.out.transfers


@pytest.mark.parametrize(
    ("position", "digest", "fetched"),
    [(4, S4, False), (4, S8, True), (0, b"", True), (3, S4, True), (5, b"e", False), (8, b"e", False)],
    ids=["the same", "rotten", "initial", "older", "beyond", "at the next"],
)
def test_a_state_older_than_its_certificate_or_another_is_fetched(position: int, digest: bytes, fetched: bool) -> None:
    one = restored(3, Certified(certified(4, S4)), position=position, digest=digest)
    assert one.out.transfers == ([Transfer(4, S4, (0, 1, 2), 2 * SECOND)] if fetched else [])
    assert one.state.delivered == position


def test_a_first_start_fetches_nothing() -> None:
    assert not restored(3).out.waits() or not restored(3).out.transfers


def test_decisions_behind_the_state_are_delivered_at_once_unless_it_is_fetched() -> None:
    records = [Certified(certified(4, S4)), accepted(0, 5, 1), Committed(Decision(0, 5, A, (0, 1, 2), False))]
    assert [one.position for one in restored(3, *records, position=4, digest=S4).out.deliveries] == [5]
    assert not restored(3, *records, position=4, digest=S8).out.deliveries


# ---------------------------------------------------------------------- after a restart


def test_a_restarted_replica_asks_at_once_and_often_for_a_while() -> None:
    now = 100 * SECOND
    for one in (restored(3, accepted(0, 1, 1), now=now), restored(3, position=4, digest=S4, now=now)):
        assert one.wake_at == now
        assert one.state.asks_until == now + SETTLING_INTERVALS * CONFIG.status_interval_ns
    fresh = restored(3, now=now)
    assert fresh.wake_at == now
    assert fresh.state.asks_until == 0
    again = restored(3, position=4, digest=S4, now=now)
    again.wake()
    assert again.state.timers.deadline("status") == now + CONFIG.status_interval_ns
    again.now = again.state.asks_until - 1
    again.wake()
    assert again.state.timers.deadline("status") == again.now + CONFIG.status_interval_ns
    again.now = again.state.timers.deadline("status")
    again.wake()
    assert again.state.timers.deadline("status") == again.now + CONFIG.idle_interval_ns
    assert again.state.timers.deadline("view") == NEVER


# ---------------------------------------------------------------------- what records rely on


def test_each_record_names_what_it_relies_on() -> None:
    committee = Committee(4)
    certificate = prepared(0, 5, A)
    assert certificates(Prepared(certificate), committee) == [(certificate.claims(), 3)]
    stable = certified(4, S4)
    assert certificates(Certified(stable), committee) == [(stable.claims(), 3)]
    ((claims, needed),) = certificates(Committed(Decision(0, 5, A, (0, 1, 2), False)), committee)
    assert ([claim.signer for claim in claims], needed) == ([0, 1, 2], 3)
    assert claims[0].statement == Commit(0, 5, A)
    ((claims, needed),) = certificates(Committed(Decision(0, 5, A, (1, 2), True)), committee)
    assert ([claim.signer for claim in claims], needed) == ([1, 2], 2)
    assert claims[0].statement != Commit(0, 5, A)
    assert certificates(accepted(0, 1, 1), committee) == []


@pytest.mark.parametrize("announced", [False, True])
def test_a_new_view_relies_on_all_that_its_view_changes_show(announced: bool) -> None:
    changes = {0: view_change(1, prepared(0, 5, A), stable=certified(4, S4)), 1: view_change(1), 2: view_change(1)}
    message = new_view(1, changes, [(5, A)])
    record = Announced(message) if announced else Entered(message, seal(1))
    found = certificates(record, Committee(4))
    assert [(len(claims), needed) for claims, needed in found] == [(3, 3), (3, 3), (3, 3)]
    assert [claim.signer for claim in found[0][0]] == [0, 1, 2]
    assert found[1][0] == prepared(0, 5, A).claims()
    assert found[2][0] == certified(4, S4).claims()


def test_marks_tell_what_a_new_view_carried() -> None:
    assert marks(accepted(0, 1, 1)) == ()
    assert marks(entered(1)) == ("views entered",)
    assert marks(entered(1, (1, A))) == ("views entered", "prepared certificates carried over")
    assert marks(entered(1, (1, NULL_DIGEST))) == ("views entered", "null batches proposed")
    assert len(marks(entered(1, (1, NULL_DIGEST), (2, A)))) == 3
