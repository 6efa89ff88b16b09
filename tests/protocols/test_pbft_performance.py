"""What backups measure of their primary, on a clock that the test moves: debts, demands, complaints, limits."""

from __future__ import annotations

import pytest
from pbft_pieces import CONFIG, batch, core, hear, proposal, request, said

from outvote.core.checkpoints import Checkpoint
from outvote.core.contract import Request, digest_of
from outvote.protocols.pbft import performance
from outvote.protocols.pbft.messages import Batch, Commit, Complaint, Forward, Prepare, ViewChange
from outvote.protocols.pbft.performance import (
    DEBTORS_MAX,
    EIGHTHS,
    EVERYBODY,
    ROUNDS_MIN,
    SLACK_SHARE,
    TOLERANCE_LAST,
    TOLERANCE_MIN,
    Performance,
)
from outvote.protocols.pbft.replica import PbftReplica
from outvote.types import FIRST_CLIENT, MILLISECOND, NEVER, SECOND, Nanos

AGREEMENT = 4 * MILLISECOND


def order(backup: PbftReplica, position: int, *requests: Request, agreement_ns: Nanos = AGREEMENT) -> None:
    """The primary proposes now, and so much later it is decided."""
    content = Batch(0, requests)
    backup.receive(0, proposal(0, position, content), bytes(64))
    if not backup.state.active:
        return
    backup.now += agreement_ns
    for sender in (2, 3):
        hear(backup, sender, Prepare(0, position, digest_of(content)))
        hear(backup, sender, Commit(0, position, digest_of(content)))
    hear(backup, 1, Commit(0, position, digest_of(content)))
    assert backup.state.delivered == position
    if position % CONFIG.checkpoint_interval == 0:
        certify(backup, position)


def certify(backup: PbftReplica, position: int) -> None:
    backup.executed(position, bytes(32))
    for sender in (0, 2, 3):
        hear(backup, sender, Checkpoint(position, bytes(32)))


def serve(
    backup: PbftReplica, number: int, wait: Nanos, client: int = 0, agreement_ns: Nanos = AGREEMENT
) -> None:
    """A client shows a request, and the primary takes so long to propose it."""
    one = request(number, client)
    backup.submit([one])
    backup.now += wait
    order(backup, backup.state.delivered + 1, one, agreement_ns=agreement_ns)


def test_agreement_is_measured_up_to_the_tentative_answers() -> None:
    """COMMITs of others are held back until the primary proposes more: that is no part of agreeing."""
    backup = core(1)
    content = Batch(0, (request(),))
    hear(backup, 0, proposal(0, 1, content))
    backup.now += AGREEMENT
    for sender in (1, 2):
        hear(backup, sender, Prepare(0, 1, digest_of(content)))
    backup.now += 100 * AGREEMENT
    for sender in (0, 1, 2):
        hear(backup, sender, Commit(0, 1, digest_of(content)))
    assert backup.state.delivered == 1
    assert backup.state.performance.agreement_ns == AGREEMENT


def test_a_proposal_that_is_answered_excuses_nobody_from_the_next() -> None:
    backup = core(1)
    content = Batch(0, (request(),))
    hear(backup, 0, proposal(0, 1, content))
    backup.submit([request(2)])
    assert backup.state.performance.waits_since == NEVER, "it goes into the next one"
    for sender in (1, 2):
        hear(backup, sender, Prepare(0, 1, digest_of(content)))
    backup.now += AGREEMENT
    backup.submit([])
    assert backup.state.delivered == 0
    assert backup.state.performance.waits_since != NEVER


def debt(backup: PbftReplica, whom: int = EVERYBODY) -> Nanos:
    return backup.state.performance.debts.get(whom, 0)


def complains(backup: PbftReplica) -> bool:
    return bool(said(backup, Complaint))


def test_a_primary_that_takes_three_quarters_of_what_the_network_does_owes_nothing() -> None:
    backup = core(1)
    for number in range(1, 3000):
        serve(backup, number, AGREEMENT * 3 // 4)
        assert debt(backup) == 0
    assert backup.state.performance.tolerance == TOLERANCE_MIN, "the demand was raised in full meanwhile"
    assert backup.state.performance.agreement_ns == AGREEMENT
    assert not complains(backup)


def test_the_same_on_a_network_a_hundred_times_as_slow() -> None:
    backup = core(1)
    for number in range(1, 200):
        serve(backup, number, 75 * AGREEMENT, agreement_ns=100 * AGREEMENT)
    assert not complains(backup)


def test_what_a_scheduler_takes_counts_for_nothing_where_agreement_is_faster_than_that() -> None:
    backup = core(1)
    slack = CONFIG.view_timeout_ns // SLACK_SHARE
    for number in range(1, 3000):
        serve(backup, number, slack, agreement_ns=slack // 4)
        assert debt(backup) == 0
    serve(backup, 3000, slack + 1, agreement_ns=slack // 4)
    assert debt(backup) == 1


@pytest.mark.parametrize("delay_ms", [20, 100, 400, 900])
def test_one_that_keeps_everything_back_owes_a_timeout_soon_and_is_complained_of(delay_ms: int) -> None:
    backup = core(1)
    for number in range(1, 20):
        serve(backup, number, 2 * MILLISECOND)
    wasted = 0
    for number in range(20, 200):
        serve(backup, number, delay_ms * MILLISECOND)
        wasted += delay_ms * MILLISECOND
        if complains(backup):
            break
    assert complains(backup)
    assert CONFIG.view_timeout_ns < wasted < 4 * CONFIG.view_timeout_ns
    assert not said(backup, ViewChange), "one backup alone leaves no view for it"


def test_one_hiccup_is_borne_and_forgotten() -> None:
    backup = core(1)
    for number in range(1, 20):
        serve(backup, number, 2 * MILLISECOND)
    serve(backup, 20, 900 * MILLISECOND)
    assert debt(backup) == CONFIG.view_timeout_ns // 2
    for number in range(21, 200):
        serve(backup, number, 2 * MILLISECOND)
    assert debt(backup) == 0
    assert not complains(backup)


def test_one_hiccup_a_second_time_is_complained_of_and_leaves_no_view() -> None:
    backup = core(1)
    for number in range(1, 4):
        serve(backup, number, 900 * MILLISECOND)
    serve(backup, 4, 900 * MILLISECOND)
    assert complains(backup)
    assert backup.state.view == 0
    assert backup.state.active


def test_what_is_idle_owes_nothing() -> None:
    backup = core(1)
    serve(backup, 1, MILLISECOND)
    backup.now += 1000 * SECOND
    serve(backup, 2, MILLISECOND)
    assert debt(backup) == 0


def test_while_something_is_under_way_nothing_else_need_be_proposed() -> None:
    backup = core(1)
    for number in range(1, 20):
        serve(backup, number, 0)
    backup.receive(0, proposal(0, 20, Batch(0, (request(20),))), bytes(64))
    backup.submit([request(1, client=1)])
    backup.now += 10 * SECOND
    content = Batch(0, (request(1, client=1),))
    backup.receive(0, proposal(0, 21, content), bytes(64))
    assert debt(backup) == 0, "it is agreement that takes so long, and the timer's affair"


def test_one_client_is_starved_while_the_others_are_served() -> None:
    """Each of its requests is left out for 300 ms, and a hundred rounds of the others go by in time."""
    backup = core(1)
    starved = FIRST_CLIENT + 1
    for number in range(1, 20):
        serve(backup, number, 0)
    number = 20
    for victim in range(1, 20):
        backup.submit([request(victim, client=1)])
        for _ in range(75):
            order(backup, backup.state.delivered + 1, request(number))
            number += 1
        assert backup.state.performance.passes > 1 + CONFIG.pipeline
        order(backup, backup.state.delivered + 1, request(victim, client=1))
        if complains(backup):
            break
    assert complains(backup)
    assert debt(backup, starved) > CONFIG.view_timeout_ns
    assert debt(backup) == 0, "the others have nothing to complain of"


def test_who_is_passed_over_is_forwarded_again_for_hints_may_be_lost() -> None:
    backup = core(1)
    backup.submit([request(1, client=1)])
    backup.out.clear()
    for number in range(1, 3 + CONFIG.pipeline):
        assert not said(backup, Forward)
        order(backup, number, request(number))
    order(backup, 3 + CONFIG.pipeline, request(3 + CONFIG.pipeline))
    assert said(backup, Forward) == [Forward(request(1, client=1))]


def test_a_full_batch_has_no_room() -> None:
    large = Request(FIRST_CLIENT, 1, 0, (bytes(CONFIG.batch_bytes_max // 2),), bytes(64))
    assert performance.full(proposal(0, 1, Batch(0, (large,))), CONFIG)
    assert performance.full(proposal(0, 1, batch(*range(1, CONFIG.batch_requests_max + 1))), CONFIG)
    assert not performance.full(proposal(0, 1, batch(*range(1, CONFIG.batch_requests_max))), CONFIG)


def slow_until_complaint(backup: PbftReplica) -> None:
    for number in range(1, 30):
        serve(backup, number, 400 * MILLISECOND)
    assert complains(backup)


def test_f_plus_1_complaints_end_the_view_for_who_complains_too() -> None:
    backup = core(1)
    hear(backup, 2, Complaint(0))
    assert not said(backup, ViewChange), "it has nothing to complain of"
    for number in range(1, 30):
        serve(backup, number, 400 * MILLISECOND)
        if not backup.state.active:
            break
    assert [one.view for one in said(backup, ViewChange) if isinstance(one, ViewChange)] == [1]
    assert backup.state.performance.rotations == 1


def test_a_complaint_counts_once_a_sender_for_the_current_view_and_not_from_the_primary() -> None:
    backup = core(1)
    assert backup.admits(2, Complaint(0))
    assert not backup.admits(2, Complaint(1))
    assert not backup.admits(0, Complaint(0)), "the primary's own"
    slow_until_complaint(backup)
    hear(backup, 0, Complaint(0))
    hear(backup, 3, Complaint(1))
    assert not said(backup, ViewChange)
    hear(backup, 3, Complaint(0))
    assert said(backup, ViewChange)


def test_a_complaint_is_said_again_while_it_holds() -> None:
    backup = core(1)
    slow_until_complaint(backup)
    backup.out.clear()
    backup.now += CONFIG.status_interval_ns
    serve(backup, 40, 0)
    assert len(said(backup, Complaint)) == 1


def test_the_debt_that_is_borne_doubles_with_each_rotation_up_to_the_timers_limit_and_calm_halves_it() -> None:
    measured = Performance()
    found = []
    for rotations in range(6):
        measured.rotations = rotations
        found.append(performance.budget_ns(measured, CONFIG) // CONFIG.view_timeout_ns)
    assert found == [1, 2, 4, 8, 8, 8], "view_timeout_growth_max is 8 here"
    backup = core(1)
    backup.state.performance.rotations = 3
    backup.state.performance.calm_at = 100 * SECOND
    serve(backup, 1, 0)
    assert backup.state.performance.rotations == 3
    backup.now = 100 * SECOND
    serve(backup, 2, 0)
    assert backup.state.performance.rotations == 1


def test_patience_never_exceeds_the_view_timer() -> None:
    measured = Performance()
    measured.agreement_ns = SECOND
    measured.rotations = 5
    assert performance.allowance_ns(measured, CONFIG) == CONFIG.view_timeout_ns


def test_a_view_must_do_nine_tenths_as_well_as_the_best_of_the_last_n() -> None:
    measured = Performance()
    assert performance.tolerance_floor(measured) == TOLERANCE_MIN, "as long as there is no other"
    measured.past = [12, 4]
    # 8 eighths of agreement and 4 of waiting: 12 a round; nine tenths as fast is 13.3, of which 5.3 are waiting.
    assert performance.tolerance_floor(measured) == 6
    measured.past = [0]
    assert performance.tolerance_floor(measured) == 6, "and never less than three quarters of agreement"
    measured.past = [80]
    assert performance.tolerance_floor(measured) == TOLERANCE_LAST


def test_a_view_counts_as_an_example_when_it_was_long_enough_and_the_last_n_are_kept() -> None:
    measured = Performance()
    for view in range(10):
        measured.begin_view(view, 0)
        measured.rounds = measured.waits = ROUNDS_MIN if view else ROUNDS_MIN - 1
        measured.agreed_ns, measured.kept_ns = 1000, 1000 * view // EIGHTHS
        measured.end_view(4)
        assert len(measured.past) == min(view, 4)
    assert measured.past == [5, 6, 7, 8] or len(measured.past) == 4


def test_what_is_owed_to_more_clients_than_fit_is_left_to_the_view_timer() -> None:
    measured = Performance()
    for client in range(1, 2 * DEBTORS_MAX):
        performance.owe(measured, FIRST_CLIENT + client, SECOND)
    performance.owe(measured, EVERYBODY, SECOND)
    assert all(size <= limit for _, size, limit in measured.sizes(4, 8))
    performance.owe(measured, FIRST_CLIENT + 1, -2 * SECOND)
    assert FIRST_CLIENT + 1 not in measured.debts
