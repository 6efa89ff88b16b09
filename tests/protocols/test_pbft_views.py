"""PBFT's view changes step by step, beyond what the tests by the paper's sections say: resets, bounds, timers, O."""

from __future__ import annotations

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
    recorded,
    request,
    said,
    seal,
    state_digest,
    view_change,
)

from outvote.core.checkpoints import Checkpoint
from outvote.core.contract import digest_of
from outvote.protocols.pbft import view_change as rules
from outvote.protocols.pbft.messages import (
    NULL_BATCH,
    NULL_DIGEST,
    Commit,
    FetchBatch,
    Forward,
    NewView,
    NewViewProof,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    SealedViewChange,
    StableProof,
    Status,
    ViewChange,
)
from outvote.protocols.pbft.normal import suspect_leader
from outvote.protocols.pbft.records import Announced, Entered, Left
from outvote.protocols.pbft.replica import PbftReplica
from outvote.protocols.pbft.view_change import FORWARDED_MAX
from outvote.types import NEVER, SECOND

A, B, C = (digest_of(batch(number)) for number in (1, 2, 3))


def give_up(one: PbftReplica) -> None:
    """Let its view timer run out."""
    view = one.state.view
    while one.state.view == view:
        one.now = one.wake_at
        one.wake()


def enter(
    one: PbftReplica, view: int, *shown: PreparedCertificate, proposals: tuple[tuple[int, bytes], ...] = ()
) -> NewView:
    message = new_view(view, dict.fromkeys([other for other in range(4) if other != one.me], view_change(view, *shown)),
                       proposals)  # fmt: skip
    hear(one, view % 4, message)
    assert (one.state.view, one.state.active) == (view, True)
    return message


def left(me: int, view: int) -> PbftReplica:
    one = core(me)
    for sender in [other for other in range(4) if other != me][-2:]:
        hear(one, sender, view_change(view))
    assert (one.state.view, one.state.active) == (view, False)
    one.out.clear()
    return one


# ---------------------------------------------------------------------- leaving


def test_leaving_forgets_the_votes_and_what_the_view_was_about() -> None:
    one = core(3)
    enter(one, 1)
    hear(one, 1, proposal(1, 1, batch(1)))
    hear(one, 2, Prepare(1, 1, A))
    hear(one, 2, Commit(1, 1, A))
    state = one.state
    assert (state.accepted_end, state.awaited) == (1, 1)
    state.suspected = True
    rules.leave_for(state, 2)
    assert not state.active
    assert not state.suspected
    assert state.new_view is None
    assert state.accepted_end == 0
    assert state.awaited is None
    assert state.fruitless_views == 1
    assert state.timers.deadline("view") == NEVER
    slot = state.slots[1]
    assert not slot.digest
    assert not slot.seal
    assert not slot.batches, "nothing stands for it"
    assert not slot.prepares.has(2)
    assert not slot.commits.has(2)


def test_a_batch_that_is_prepared_is_kept_when_its_view_ends() -> None:
    one = core(3)
    hear(one, 0, proposal(0, 1, batch(1)))
    for sender in (1, 2):
        hear(one, sender, Prepare(0, 1, A))
    assert one.state.slots[1].prepared_now
    rules.leave_for(one.state, 1)
    assert not one.state.slots[1].prepared_now
    assert one.state.slots[1].batches == {A: batch(1)}
    assert one.state.my_view_change == view_change(1, prepared(0, 1, A, (1, 2)))


def test_what_was_announced_is_forgotten_with_its_view() -> None:
    one = left(1, 1)
    hear(one, 0, view_change(1))
    assert one.state.announced is not None
    rules.leave_for(one.state, 2)
    assert one.state.announced is None


def test_certificates_are_shown_by_ascending_position() -> None:
    one = core(3)
    for position, number in ((2, 2), (1, 1)):
        hear(one, 0, proposal(0, position, batch(number)))
        for sender in (1, 2):
            hear(one, sender, Prepare(0, position, digest_of(batch(number))))
    rules.leave_for(one.state, 1)
    assert said(one, ViewChange) == [view_change(1, prepared(0, 1, A, (1, 2)), prepared(0, 2, B, (1, 2)))]


# ---------------------------------------------------------------------- what others show


@pytest.mark.parametrize(
    ("message", "is_sound"),
    [
        (view_change(1, prepared(0, 8, A)), True),
        (view_change(1, prepared(0, 9, A)), False),
        (view_change(1, prepared(0, 5, A), prepared(0, 12, B), stable=certified(4)), True),
        (view_change(1, prepared(0, 13, A), stable=certified(4)), False),
        (view_change(1, prepared(0, 4, A), stable=certified(4)), False),
        (view_change(2, prepared(1, 1, A)), True),
        (view_change(1, prepared(1, 1, A)), False),
        (view_change(0, prepared(1, 1, A)), False),
        (view_change(1, prepared(0, 1, A, (1, 2, 3))), True),
        (view_change(1, prepared(0, 1, A, (1,))), False),
        (view_change(1, prepared(0, 1, A, (0, 1, 2))), False),
        (ViewChange(1, certified(0, b""), ()), False),
        (ViewChange(1, certified(0, b"", ()), ()), True),
        (ViewChange(1, certified(4, signers=()), ()), False),
    ],
)
def test_a_view_change_is_sound_within_its_bounds_only(message: ViewChange, is_sound: bool) -> None:
    assert rules.sound_view_change(message, core(0).state.committee, CONFIG.window) is is_sound


def test_a_later_view_change_of_a_sender_replaces_its_earlier_one_never_the_reverse() -> None:
    one = core(3)
    rules.on_view_change(one.state, 0, view_change(3), seal(0))
    rules.on_view_change(one.state, 0, view_change(2), seal(0))
    rules.on_view_change(one.state, 0, view_change(3, prepared(0, 1, A)), seal(0))
    assert one.state.view_changes[0].message == view_change(3)
    rules.on_view_change(one.state, 0, view_change(4), seal(0))
    assert one.state.view_changes[0].message == view_change(4)
    assert not one.out.lies


def test_the_checkpoint_that_a_view_change_shows_is_learnt() -> None:
    one = core(3)
    hear(one, 0, view_change(1, stable=certified(12)))
    assert [transfer.position for transfer in one.out.transfers] == [12]


@pytest.mark.parametrize(("n", "weak"), [(4, 2), (7, 3)])
def test_joining_takes_f_plus_1_others_that_are_past_our_view(n: int, weak: int) -> None:
    one = core(n - 1, n)
    hear(one, n - 1, view_change(9))
    assert one.state.view == 0, "our own words are no reason to believe"
    for sender in range(weak):
        assert one.state.view == 0
        hear(one, sender, view_change(5 + sender))
    assert one.state.view == 5
    hear(one, weak, view_change(5))
    assert said(one, ViewChange) == [view_change(5)], "those that ask for our own view are not past it"


def test_supporters_ask_for_this_very_view_and_the_timer_counts_those_beyond_as_well() -> None:
    one = core(3)
    for sender, view in ((2, 2), (1, 4), (0, 3)):
        one.state.view_changes[sender] = SealedViewChange(sender, view_change(view), seal(sender))
        one.state.asked[sender] = view
    one.state.view = 3
    assert [quoted.sender for quoted in rules.supporters(one.state)] == [0]
    assert rules.left_with_us(one.state) == 2
    one.state.view = 2
    assert rules.left_with_us(one.state) == 3
    one.state.view_changes[1] = SealedViewChange(1, view_change(2), seal(1))
    assert [quoted.sender for quoted in rules.supporters(one.state)] == [1, 2]


# ---------------------------------------------------------------------- announcing


def test_a_new_view_quotes_the_first_quorum_and_is_recorded_and_said_once() -> None:
    one = left(1, 1)
    hear(one, 1, view_change(1))
    (announced,) = recorded(one, Announced)
    assert isinstance(announced, Announced)
    assert [quoted.sender for quoted in announced.message.view_changes] == [1, 2, 3]
    assert one.out.messages == [(-1, announced.message)]
    one.out.clear()
    hear(one, 0, view_change(1, prepared(0, 1, A)))
    assert not one.out.waits(), "a second one for this view would be a lie"


def test_who_does_not_lead_the_view_or_is_in_it_announces_nothing() -> None:
    backup = left(2, 1)
    for sender in (0, 2):
        hear(backup, sender, view_change(1))
    assert not said(backup, NewView)
    entered = core(1)
    enter(entered, 1)
    entered.out.clear()
    for sender in (0, 2, 3):
        rules.on_view_change(entered.state, sender, view_change(1), seal(sender))
    assert not said(entered, NewView)


# ---------------------------------------------------------------------- entering


def test_an_unsound_new_view_of_the_awaited_view_makes_us_leave_it() -> None:
    bad = new_view(1, dict.fromkeys((0, 1, 3), view_change(1)), [(1, A)])
    one = left(2, 1)
    hear(one, 1, bad)
    assert one.state.view == 2
    assert recorded(one, Left)
    assert one.out.lies == [(1, "new-view that does not follow from its view-changes")]
    one = left(2, 1)
    hear(one, 1, new_view(5, dict.fromkeys((0, 1, 3), view_change(5)), [(1, A)]))
    assert one.state.view == 1, "another view's primary cannot take this one's chance"
    one = core(2)
    hear(one, 1, bad)
    assert (one.state.view, one.state.active) == (0, True)


def test_a_new_view_by_somebody_else_is_a_lie() -> None:
    one = left(2, 1)
    hear(one, 3, new_view(1, dict.fromkeys((0, 1, 3), view_change(1)), []))
    assert one.out.lies == [(3, "new-view of a view it does not lead")]
    assert not one.state.active


def test_a_new_view_passed_on_counts_as_its_primarys() -> None:
    one = left(2, 1)
    message = new_view(1, dict.fromkeys((0, 1, 3), view_change(1)), [])
    hear(one, 3, NewViewProof(1, message, seal(1)))
    assert one.state.active
    assert one.state.new_view == (message, seal(1))
    assert recorded(one, Entered) == [Entered(message, seal(1))]


def test_entering_resets_what_belongs_to_the_old_view() -> None:
    one = core(3)
    hear(one, 0, proposal(0, 5, batch(5)))
    hear(one, 2, Prepare(0, 5, A))
    one.state.suspected = True
    one.state.announced = new_view(1, {}, [])
    message = enter(one, 2)
    state = one.state
    assert not state.suspected
    assert state.announced is None
    assert state.new_view == (message, seal(2))
    assert state.accepted_end == 0
    assert state.awaited is None
    assert state.timers.deadline("view") == NEVER
    assert not state.slots[5].digest
    assert not state.slots[5].prepares.has(2)


@pytest.mark.parametrize(("fruitless", "factor"), [(0, 1), (1, 1), (2, 2), (3, 4), (4, 8), (5, 8)])
def test_the_timeout_of_a_view_doubles_with_fruitless_ones(fruitless: int, factor: int) -> None:
    one = core(3)
    one.state.fruitless_views = fruitless
    enter(one, 5)
    assert one.state.view_timeout_ns == factor * SECOND
    one.now = 70 * SECOND
    one.submit([request()])
    assert one.state.timers.deadline("view") == (70 + factor) * SECOND


def test_o_begins_at_the_highest_checkpoint_shown() -> None:
    one = core(3)
    one.restore(4, b"s" * 32, [])
    shown = view_change(1, prepared(0, 6, A), stable=certified(4))
    message = new_view(1, dict.fromkeys((0, 1, 2), shown), [(5, NULL_DIGEST), (6, A)])
    hear(one, 1, message)
    assert one.state.required == {5: NULL_DIGEST, 6: A}
    assert one.state.required_end == 6
    assert one.state.next_position == 5


def test_of_o_only_what_lies_above_our_own_checkpoint_binds() -> None:
    one = core(3)
    one.restore(8, b"s" * 32, [])
    one.executed(8, state_digest(8))
    for sender in (0, 1, 2):
        hear(one, sender, Checkpoint(8, state_digest(8)))
    assert one.state.low == 8
    shown = view_change(1, prepared(0, 8, B), prepared(0, 9, A), stable=certified(4))
    places = [(5, NULL_DIGEST), (6, NULL_DIGEST), (7, NULL_DIGEST), (8, B), (9, A)]
    hear(one, 1, new_view(1, dict.fromkeys((0, 1, 2), shown), places))
    assert one.state.required == {9: A}
    assert one.state.required_end == 9
    assert one.state.next_position == 9


def test_the_new_primary_fills_gaps_with_null_and_goes_on_behind_o() -> None:
    one = core(1)
    hear(one, 0, proposal(0, 2, batch(2)))
    for sender in (2, 3):
        hear(one, sender, Prepare(0, 2, B))
    hear(one, 0, proposal(0, 1, batch(1)))
    one.submit([request(7)])
    one.out.clear()
    enter(one, 1, prepared(0, 2, B, (2, 3)), proposals=((1, NULL_DIGEST), (2, B)))
    proposals = said(one, PrePrepare)
    assert proposals[:2] == [PrePrepare(1, 1, NULL_DIGEST, NULL_BATCH), proposal(1, 2, batch(2))]
    assert one.state.next_position >= 3
    assert not said(one, Forward)


def test_a_primary_proposes_nothing_of_its_own_before_o_is_out() -> None:
    one = core(1)
    one.submit([request(7)])
    one.out.clear()
    enter(one, 1, prepared(0, 2, B), proposals=((1, NULL_DIGEST), (2, B)))
    assert said(one, PrePrepare) == [PrePrepare(1, 1, NULL_DIGEST, NULL_BATCH)]
    assert said(one, FetchBatch) == [FetchBatch(2, B)]


def test_while_the_first_of_o_is_missing_nothing_is_proposed_in_its_place() -> None:
    one = core(1)
    one.submit([request(7)])
    enter(one, 1, prepared(0, 1, B), proposals=((1, B),))
    assert one.state.next_position == one.state.required_end == 1
    one.submit([request(8)])
    assert not said(one, PrePrepare)
    assert said(one, FetchBatch) == [FetchBatch(1, B)]


def test_requests_in_o_are_not_proposed_a_second_time() -> None:
    one = core(1)
    one.submit([request(1)])
    hear(one, 0, proposal(0, 1, batch(1)))
    for sender in (2, 3):
        hear(one, sender, Prepare(0, 1, A))
    enter(one, 1, prepared(0, 1, A, (2, 3)), proposals=((1, A),))
    assert said(one, PrePrepare) == [proposal(1, 1, batch(1))]
    assert not one.state.pool.has_unproposed()


def test_a_primary_whose_window_is_behind_o_waits_for_its_checkpoint_and_then_goes_on() -> None:
    one = core(1)
    shown = view_change(1, prepared(0, 9, A), stable=certified(4))
    places = [(5, NULL_DIGEST), (6, NULL_DIGEST), (7, NULL_DIGEST), (8, NULL_DIGEST), (9, A)]
    hear(one, 1, new_view(1, dict.fromkeys((0, 2, 3), shown), places))
    assert [message.position for message in said(one, PrePrepare) if isinstance(message, PrePrepare)] == [5, 6, 7, 8]
    assert not said(one, FetchBatch), "9 lies above our window"
    hear(one, 3, StableProof(certified(8)))
    one.now = one.state.timers.deadline("status")
    one.wake()
    assert said(one, FetchBatch) == [FetchBatch(9, A)]


def test_positions_of_o_below_a_checkpoint_that_came_since_are_passed_over() -> None:
    one = core(1)
    enter(one, 1, prepared(0, 1, C), prepared(0, 9 - 1, A),
          proposals=((1, C), *((at, NULL_DIGEST) for at in range(2, 8)), (8, A)))  # fmt: skip
    assert said(one, FetchBatch) == [FetchBatch(1, C)]
    hear(one, 3, StableProof(certified(4)))
    one.out.clear()
    one.now = one.state.timers.deadline("status")
    one.wake()
    assert [message.position for message in said(one, PrePrepare) if isinstance(message, PrePrepare)] == [5, 6, 7]
    assert said(one, FetchBatch) == [FetchBatch(8, A)]


def test_a_backup_hands_the_new_primary_what_waits_within_a_bound() -> None:
    one = core(3)
    one.submit([request(1, client) for client in range(FORWARDED_MAX + 3)])
    one.out.clear()
    enter(one, 1)
    assert one.out.hints[:2] == [(1, Forward(request(1, 0))), (1, Forward(request(1, 1)))]
    assert len(said(one, Forward)) == FORWARDED_MAX == 64


def test_a_primary_proposes_again_what_the_old_view_had_proposed() -> None:
    one = core(1)
    one.submit([request(1)])
    hear(one, 0, proposal(0, 1, batch(1)))
    assert not one.state.pool.has_unproposed()
    enter(one, 1)
    assert said(one, PrePrepare)[0] == proposal(1, 1, batch(1))


# ---------------------------------------------------------------------- messages that came before their view


def test_early_messages_are_handled_when_their_view_is_entered() -> None:
    one = core(3)
    hear(one, 1, proposal(1, 1, batch(1)), proposal(5, 1, batch(2)))
    hear(one, 2, Prepare(1, 1, A), Commit(1, 1, A), Prepare(2, 1, A))
    assert not one.out.messages
    enter(one, 1)
    assert said(one, Prepare) == [Prepare(1, 1, A)]
    slot = one.state.slots[1]
    assert slot.prepares.has(2)
    assert slot.commits.has(2)
    assert one.state.early == {1: [(proposal(5, 1, batch(2)), seal(1))], 2: [(Prepare(2, 1, A), seal(2))]}
    assert slot.seal == seal(1)


def test_early_messages_of_views_that_were_skipped_are_forgotten() -> None:
    one = core(3)
    hear(one, 1, proposal(1, 1, batch(1)))
    hear(one, 2, Prepare(1, 1, A), Prepare(2, 1, A), Prepare(3, 1, A))
    for sender in (0, 1):
        hear(one, sender, view_change(2))
    assert (one.state.view, one.state.active) == (2, False)
    assert one.state.early == {1: [], 2: [(Prepare(2, 1, A), seal(2)), (Prepare(3, 1, A), seal(2))]}


def test_early_messages_wait_while_their_view_is_not_entered() -> None:
    one = core(3)
    hear(one, 1, proposal(1, 1, batch(1)))
    for sender in (0, 2):
        hear(one, sender, view_change(1))
    assert not one.state.active
    assert one.state.view == 1
    hear(one, 1, new_view(1, dict.fromkeys((0, 1, 2), view_change(1)), []))
    assert said(one, Prepare) == [Prepare(1, 1, A)]


# ---------------------------------------------------------------------- the clock


def test_a_proposal_is_awaited_like_a_request() -> None:
    one = core(3)
    one.now = 5 * SECOND
    hear(one, 0, proposal(0, 2, batch(2)))
    assert one.state.awaited == 1, "the next position is missing"
    assert one.state.timers.deadline("view") == 6 * SECOND
    one.now = 5 * SECOND + 7
    hear(one, 0, proposal(0, 1, batch(1)))
    assert one.state.timers.deadline("view") == 6 * SECOND, "still the same is awaited"
    for sender in (0, 1, 2):
        hear(one, sender, Commit(0, 1, A))
    assert one.state.awaited == 2
    assert one.state.timers.deadline("view") == 6 * SECOND + 7
    for sender in (0, 1, 2):
        hear(one, sender, Commit(0, 2, B))
    assert one.state.awaited is None
    assert one.state.timers.deadline("view") == NEVER


def test_the_last_position_that_was_proposed_is_awaited_from_when_it_came() -> None:
    one = core(3)
    one.now = 5 * SECOND
    hear(one, 0, proposal(0, 1, batch(1)))
    one.now = 5 * SECOND + 7
    hear(one, 2, Checkpoint(4, A))
    assert one.state.timers.deadline("view") == 6 * SECOND


def test_the_oldest_request_is_awaited_before_any_position() -> None:
    one = core(3)
    one.submit([request(1), request(2)])
    assert one.state.awaited == request(1).key
    hear(one, 0, proposal(0, 1, batch(2)))
    one.now = SECOND // 2
    for sender in (0, 1, 2):
        hear(one, sender, Commit(0, 1, B))
    assert one.state.awaited == request(1).key
    assert one.state.timers.deadline("view") == SECOND, "a primary that serves all but one is found out"


def test_a_primary_that_convicted_itself_is_left_at_once_and_the_next_one_is_not() -> None:
    one = core(3)
    hear(one, 0, proposal(0, 1, batch(1)), proposal(0, 1, batch(2)))
    assert one.state.timers.deadline("view") == one.now
    one.wake()
    assert (one.state.view, one.state.active) == (1, False)
    assert one.state.timers.deadline("view") == NEVER


def test_while_changing_view_proof_against_a_primary_hurries_nobody() -> None:
    one = left(3, 1)
    suspect_leader(one.state)
    assert not one.state.suspected


def test_deliveries_make_a_view_fruitful() -> None:
    one = core(3)
    one.state.fruitless_views = 3
    hear(one, 0, proposal(0, 1, batch(1)))
    for sender in (0, 1, 2):
        hear(one, sender, Commit(0, 1, A))
    assert one.state.fruitless_views == 0


def test_an_idle_replica_asks_rarely_and_a_busy_one_often() -> None:
    one = core(3)
    one.now = one.wake_at
    one.wake()
    assert said(one, Status)
    assert one.state.timers.deadline("status") == one.now + CONFIG.idle_interval_ns
    one.submit([request()])
    assert one.state.timers.deadline("status") == one.now + CONFIG.status_interval_ns
    one.out.clear()
    one.now = one.state.timers.deadline("status")
    one.wake()
    assert len(said(one, Status)) == 1
    assert one.state.timers.deadline("status") == one.now + CONFIG.status_interval_ns
    assert said(one, Forward) == [Forward(request())]


def test_with_each_question_16_requests_are_forwarded_again() -> None:
    one = core(3)
    one.submit([request(1, client) for client in range(20)])
    one.out.clear()
    one.now = one.state.timers.deadline("status")
    one.wake()
    assert one.out.hints[1:] == [(0, Forward(request(1, client))) for client in range(16)]
    primary = core(0)
    primary.submit([request(1, client) for client in range(3)])
    primary.out.clear()
    primary.now = primary.state.timers.deadline("status")
    primary.wake()
    assert not said(primary, Forward)


def test_who_delivered_since_the_last_tick_lacks_nothing() -> None:
    one = core(3)
    one.submit([request(1), request(2)])
    hear(one, 0, proposal(0, 1, batch(1)))
    for sender in (0, 1, 2):
        hear(one, sender, Commit(0, 1, A))
    one.out.clear()
    one.now = one.state.timers.deadline("status")
    one.wake()
    assert not said(one, Status)
    assert not said(one, Forward)
    one.now = one.state.timers.deadline("status")
    one.wake()
    assert said(one, Status)


def test_a_view_change_without_a_quorum_does_not_wait_in_vain_but_asks() -> None:
    one = left(3, 1)
    give_up_at = one.state.timers.deadline("view")
    assert give_up_at == NEVER
    one.now = one.state.timers.deadline("status")
    one.wake()
    assert said(one, Status) == [Status(1, False, 0, 0, b"")]
    assert not said(one, Forward), "nobody leads"
    hear(one, 3, view_change(1))
    assert one.state.timers.deadline("view") == one.now + SECOND
    give_up(one)
    assert one.state.view == 2
