"""Castro and Liskov, "Practical Byzantine Fault Tolerance", OSDI 1999, section by section, on the bare core."""

from __future__ import annotations

from itertools import combinations

import pytest
from pbft_pieces import (
    CONFIG,
    Wired,
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
from outvote.core.contract import Delivery, Message, digest_of
from outvote.machines.executor import Executor
from outvote.machines.interface import describe
from outvote.machines.key_value import KeyValueStore
from outvote.protocols.catalogue import protocol
from outvote.protocols.pbft import view_change as rules
from outvote.protocols.pbft.messages import (
    NULL_DIGEST,
    Commit,
    Forward,
    NewView,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    ViewChange,
)
from outvote.protocols.pbft.records import Accepted, Entered, Left, Prepared
from outvote.protocols.pbft.replica import PbftReplica
from outvote.types import FIRST_CLIENT, MILLISECOND, NEVER, SECOND

A, B, C = (digest_of(batch(number)) for number in (1, 2, 3))


# ---------------------------------------------------------------------- 4.1 the client


def test_4_1_a_backup_hands_a_clients_request_to_the_primary() -> None:
    backup = core(2)
    backup.submit([request()])
    assert backup.out.hints == [(0, Forward(request()))]
    assert not backup.out.messages


def test_4_1_a_request_that_was_executed_is_not_ordered_again() -> None:
    wired = Wired()
    for _ in range(3):
        wired.submit(request(), to=(0,))
        wired.settle()
    assert wired.positions() == [1] * 4


def test_4_1_a_request_sent_to_backups_only_is_served() -> None:
    wired = Wired()
    wired.submit(request(), to=(3,))
    wired.settle()
    assert wired.positions() == [1] * 4


# ---------------------------------------------------------------------- 4.2 normal case


@pytest.mark.parametrize("n", [4, 5, 6, 7, 10])
def test_4_2_one_decision_takes_2n_times_n_minus_1_messages(n: int) -> None:
    wired = Wired(n)
    wired.submit(request(), to=(0,))
    wired.settle()
    assert wired.positions() == [1] * n
    assert wired.sent["PrePrepare"] == n - 1
    assert wired.sent["Prepare"] == (n - 1) ** 2
    assert wired.sent["Commit"] == n * (n - 1)
    pbft = protocol("pbft")
    assert sum(wired.sent[name] for name in pbft.ordering) == 2 * n * (n - 1) == pbft.formula(n)
    assert sum(wired.sent.values()) == 2 * n * (n - 1), "nothing else is sent"


def test_4_2_the_formula_at_four_is_24() -> None:
    assert protocol("pbft").formula(4) == 24


def test_4_2_a_backup_accepts_the_primarys_proposal_and_records_it_before_its_prepare() -> None:
    backup = core(1)
    hear(backup, 0, proposal(0, 1, batch(1)))
    assert backup.out.messages == [(-1, Prepare(0, 1, A))]
    assert backup.out.records == [Accepted(0, 1, A, batch(1), seal(0))]


@pytest.mark.parametrize(
    ("sender", "message"),
    [
        (2, proposal(0, 1, batch(1))),  # not the primary of view 0
        (0, PrePrepare(0, 1, B, batch(1))),  # another batch's digest
        (0, proposal(0, 9, batch(1))),  # above H = 0 + 8
        (0, proposal(0, 0, batch(1))),  # not above h = 0
        (0, proposal(0, 1, batch())),  # nothing to order
        (0, proposal(1, 1, batch(1))),  # a view that was not entered
    ],
)
def test_4_2_a_backup_accepts_no_other_proposal(sender: int, message: PrePrepare) -> None:
    backup = core(1)
    hear(backup, sender, message)
    assert not said(backup, Prepare)
    assert not backup.out.records


def test_4_2_a_second_proposal_for_one_place_is_refused_and_told() -> None:
    backup = core(1)
    hear(backup, 0, proposal(0, 1, batch(1)), proposal(0, 1, batch(2)))
    assert said(backup, Prepare) == [Prepare(0, 1, A)]
    assert backup.out.lies == [(0, "two pre-prepares for one position")]
    assert backup.wake_at == backup.now, "the primary is given up at once"


def test_4_2_a_proposed_time_far_from_the_clock_is_refused() -> None:
    backup = core(1)
    backup.wall = 3600 * SECOND
    hear(backup, 0, proposal(0, 1, batch(1)))
    assert not said(backup, Prepare)


def prepare_from(one: PbftReplica, *senders: int, digest: bytes = A) -> None:
    for sender in senders:
        hear(one, sender, Prepare(0, 1, digest))


def test_4_2_prepared_needs_the_proposal_and_2f_prepares_of_others_that_match() -> None:
    replica = core(1)
    prepare_from(replica, 2, 3)
    assert not said(replica, Commit), "no proposal yet"
    hear(replica, 0, proposal(0, 1, batch(1)))
    assert said(replica, Commit) == [Commit(0, 1, A)]
    assert recorded(replica, Prepared) == [
        Prepared(PreparedCertificate(0, 1, A, 0, seal(0), ((2, seal(2)), (3, seal(3)))))
    ]


@pytest.mark.parametrize("case", ["one short", "repeated", "another digest", "from the primary"])
def test_4_2_fewer_or_other_prepares_do_not_suffice(case: str) -> None:
    replica = core(1)
    hear(replica, 0, proposal(0, 1, batch(1)))
    prepare_from(replica, 2)
    if case == "repeated":
        prepare_from(replica, 2, 2)
    elif case == "another digest":
        prepare_from(replica, 3, digest=B)
    elif case == "from the primary":
        prepare_from(replica, 0)
    assert not said(replica, Commit)


def commit_from(one: PbftReplica, *senders: int, position: int = 1, digest: bytes = A) -> None:
    for sender in senders:
        hear(one, sender, Commit(0, position, digest))


def test_4_2_committed_local_needs_2f_plus_1_commits_that_match() -> None:
    replica = core(1)
    hear(replica, 0, proposal(0, 1, batch(1)))
    prepare_from(replica, 1, 2, 3)
    commit_from(replica, 0, 2)
    commit_from(replica, 2)
    assert not replica.out.deliveries
    commit_from(replica, 3, digest=B)
    assert not replica.out.deliveries
    commit_from(replica, 1)
    assert replica.out.deliveries == [Delivery(1, 0, batch(1).requests, 0, False)]


def test_4_2_commits_may_come_before_the_proposal() -> None:
    replica = core(1)
    commit_from(replica, 0, 2, 3)
    assert not replica.out.deliveries
    hear(replica, 0, proposal(0, 1, batch(1)))
    assert [delivery.position for delivery in replica.out.deliveries] == [1]


def test_4_2_requests_are_executed_in_order_without_gaps() -> None:
    replica = core(1)
    for position, number, digest in ((2, 2, B), (3, 3, C), (1, 1, A)):
        hear(replica, 0, proposal(0, position, batch(number)))
        before = len(replica.out.deliveries)
        commit_from(replica, 0, 2, 3, position=position, digest=digest)
        assert len(replica.out.deliveries) == (3 if position == 1 else before)
    assert [delivery.position for delivery in replica.out.deliveries] == [1, 2, 3]


# ---------------------------------------------------------------------- 4.3 garbage collection


def test_4_3_a_checkpoint_is_stable_at_2f_plus_1_and_moves_the_watermarks() -> None:
    wired = Wired()
    kept = []
    for number in range(1, 5):
        wired.submit(request(number), to=(0,))
        while wired.queue:
            sender, receiver, message = wired.queue.popleft()
            if isinstance(message, Checkpoint) and receiver == 1:
                kept.append((sender, message))
                continue
            hear(wired.cores[receiver], sender, message)
            wired.collect(receiver)
    replica = wired.cores[1]
    assert (replica.state.low, replica.state.high) == (0, 8)
    for count, (sender, message) in enumerate(kept[:3], start=1):
        assert message == Checkpoint(4, state_digest(4))
        hear(replica, sender, message)
        assert replica.state.low == (4 if count == 3 else 0)
    assert replica.state.high == 12
    assert not replica.state.slots, "everything up to the checkpoint is forgotten"
    assert len(replica.state.certified.seals) == 3
    assert [stable.position for stable in replica.out.stable] == [4]


def test_4_3_other_digests_do_not_add_up() -> None:
    replica = core(1)
    replica.executed(4, state_digest(4))
    hear(replica, 1, Checkpoint(4, state_digest(4)))
    hear(replica, 0, Checkpoint(4, state_digest(4)))
    hear(replica, 2, Checkpoint(4, state_digest(5)))
    assert replica.state.low == 0


def test_4_3_messages_outside_the_watermarks_are_not_admitted() -> None:
    replica = core(1)
    for position in (0, 9, 1 << 31, 1 << 62):
        assert not replica.admits(0, proposal(0, position, batch(1)))
        assert not replica.admits(2, Prepare(0, position, A))
        assert not replica.admits(2, Commit(0, position, A))
    assert replica.admits(2, Prepare(0, 8, A))


def test_4_3_a_primary_stops_at_the_high_watermark() -> None:
    primary = core(0)
    primary.state.delivered = 8  # all of the window is executed here, but no checkpoint is stable
    primary.submit([request()])
    assert not said(primary, PrePrepare)


# ---------------------------------------------------------------------- 4.4 view changes


def leave(one: PbftReplica) -> ViewChange:
    """Let the view timer of a replica that waits for a request run out."""
    one.submit([request(9)])
    one.now = one.wake_at
    while not said(one, ViewChange):
        one.now = one.wake_at
        one.wake()
    message = said(one, ViewChange)[0]
    assert isinstance(message, ViewChange)
    return message


def test_4_4_a_view_change_shows_stable_checkpoint_and_all_that_was_prepared_above_it() -> None:
    replica = core(1)
    hear(replica, 0, proposal(0, 1, batch(1)), proposal(0, 2, batch(2)))
    prepare_from(replica, 2, 3)
    message = leave(replica)
    assert message == view_change(1, prepared(0, 1, A, (2, 3)))
    assert recorded(replica, Left) == [Left(message)]


def test_4_4_after_leaving_the_old_view_nothing_of_it_is_accepted() -> None:
    replica = core(1)
    hear(replica, 0, proposal(0, 1, batch(1)))
    leave(replica)
    replica.out.clear()
    assert not replica.admits(2, Prepare(0, 1, A))
    prepare_from(replica, 2, 3)
    commit_from(replica, 0, 2, 3)
    hear(replica, 0, proposal(0, 2, batch(2)))
    assert not replica.out.messages
    assert not replica.out.deliveries
    assert replica.admits(2, Checkpoint(4, state_digest(4))), "checkpoints, view-changes and new-views are"
    assert replica.admits(2, view_change(1))


def test_4_4_o_has_the_prepared_digest_of_the_highest_view_and_null_in_the_gaps() -> None:
    stable = certified(4)
    changes = [
        view_change(3, prepared(0, 2, A), prepared(0, 6, A), prepared(0, 9, C)),
        view_change(3, prepared(2, 6, B), prepared(1, 7, C), stable=stable),
        view_change(3, prepared(1, 6, C)),
    ]
    chosen, proposals = rules.choose(changes)
    assert chosen == stable, "min-s is the highest stable checkpoint shown"
    assert proposals == ((5, NULL_DIGEST), (6, B), (7, C), (8, NULL_DIGEST), (9, C))


def test_4_4_o_is_empty_if_nothing_was_prepared() -> None:
    assert rules.choose([view_change(1)] * 3)[1] == ()


def change(replica: PbftReplica, *senders: int, message: ViewChange) -> None:
    for sender in senders:
        hear(replica, sender, message)


def test_4_4_the_new_primary_announces_its_view_with_a_quorum_and_no_earlier() -> None:
    primary = core(1)
    mine = leave(primary)
    primary.out.clear()
    hear(primary, 1, mine)
    hear(primary, 2, view_change(1, prepared(0, 1, A)))
    assert not said(primary, NewView)
    hear(primary, 3, view_change(1))
    changes = {1: mine, 2: view_change(1, prepared(0, 1, A)), 3: view_change(1)}
    assert said(primary, NewView) == [new_view(1, changes, [(1, A)])]


CHANGES = {1: view_change(1, prepared(0, 1, A)), 2: view_change(1), 3: view_change(1)}


def test_4_4_a_backup_enters_and_is_bound_by_o() -> None:
    backup = core(2)
    leave(backup)
    backup.out.clear()
    message = new_view(1, CHANGES, [(1, A)])
    hear(backup, 1, message)
    assert recorded(backup, Entered) == [Entered(message, seal(1))]
    assert backup.standing().view == 1
    assert backup.standing().active
    hear(backup, 1, proposal(1, 1, batch(2)))
    assert not said(backup, Prepare), "position 1 must hold what was prepared"
    hear(backup, 1, proposal(1, 1, batch(1)))
    assert said(backup, Prepare) == [Prepare(1, 1, A)]


@pytest.mark.parametrize(
    ("sender", "message"),
    [
        (1, new_view(1, CHANGES, [])),
        (1, new_view(1, CHANGES, [(1, B)])),
        (1, new_view(1, CHANGES, [(1, NULL_DIGEST)])),
        (1, new_view(1, CHANGES, [(1, A), (2, B)])),
        (3, new_view(1, CHANGES, [(1, A)])),
        (1, new_view(1, {1: CHANGES[1], 2: CHANGES[2]}, [(1, A)])),
        (1, new_view(1, {**CHANGES, 2: view_change(2)}, [(1, A)])),
        (1, new_view(1, {**CHANGES, 2: view_change(1, prepared(0, 1, B, (1, 1)))}, [(1, A)])),
    ],
    ids=["O empty", "O other", "O null", "O longer", "not the primary", "two senders", "other view", "unsound"],
)
def test_4_4_backups_compute_o_themselves_and_refuse_any_other(sender: int, message: NewView) -> None:
    backup = core(2)
    leave(backup)
    backup.out.clear()
    hear(backup, sender, message)
    assert not recorded(backup, Entered)
    assert not (backup.standing().view == 1 and backup.standing().active)


def test_4_4_a_repeated_sender_is_no_quorum() -> None:
    backup = core(2)
    message = new_view(1, CHANGES, [(1, A)])
    doubled = NewView(1, (message.view_changes[0], message.view_changes[0], message.view_changes[1]), ((1, A),))
    hear(backup, 1, doubled)
    assert not recorded(backup, Entered)


@pytest.mark.parametrize(
    "message",
    [
        view_change(1, prepared(0, 1, A, (1,))),
        view_change(1, prepared(0, 1, A, (1, 1))),
        view_change(1, prepared(0, 1, A, (2, 1))),
        view_change(1, prepared(0, 1, A, (0, 1))),
        view_change(1, prepared(0, 1, A, (1, 7))),
        view_change(1, prepared(1, 1, A)),
        view_change(1, prepared(0, 9, A)),
        view_change(1, prepared(0, 4, A), stable=certified(4)),
        view_change(1, prepared(0, 1, A), prepared(0, 1, B)),
        view_change(1, stable=certified(4, signers=(0, 1))),
        view_change(1, stable=certified(4, signers=(0, 0, 1))),
        ViewChange(1, certified(0), ()),
        ViewChange(1, certified(4), (PreparedCertificate(0, 5, A, 2, seal(2), ((1, seal(1)), (3, seal(3)))),)),
    ],
    ids=[
        "one prepare", "repeated", "unordered", "of the primary", "no member", "view not below", "above the window",
        "not above h", "twice one position", "weak checkpoint", "repeated checkpoint", "sealed genesis",
        "other proposer",
    ],
)
def test_4_4_an_unsound_view_change_is_refused_and_told(message: ViewChange) -> None:
    replica = core(2)
    hear(replica, 3, message)
    assert 3 not in replica.state.view_changes
    assert [party for party, _ in replica.out.lies] == [3]


def test_4_4_what_the_new_primary_lacks_it_fetches_and_then_proposes() -> None:
    wired = Wired(link=lambda _sender, receiver, message: not (receiver == 1 and isinstance(message, PrePrepare)))
    wired.submit(request(), to=(0, 1, 2, 3))
    quiet = wired.link
    wired.link = lambda sender, receiver, message: quiet(sender, receiver, message) and not isinstance(message, Commit)
    wired.settle()
    assert wired.positions() == [0] * 4
    wired.link = lambda sender, receiver, message: sender != 0 and receiver != 0
    wired.pass_time(3 * SECOND)
    assert wired.positions()[1:] == [1] * 3
    assert wired.sent["FetchBatch"]
    assert wired.sent["FetchedBatch"]


# ---------------------------------------------------------------------- 4.5.1 safety


@pytest.mark.parametrize("committed_at", range(4))
def test_4_5_1_what_one_replica_committed_is_in_o_of_every_quorum(committed_at: int) -> None:
    """Commits reach one replica only. Whatever quorum then changes view, it proposes the same batch again."""

    def link(_sender: int, receiver: int, message: Message) -> bool:
        return not isinstance(message, Commit) or receiver == committed_at

    wired = Wired(link=link)
    wired.submit(request(), to=(0,))
    wired.settle()
    assert wired.positions() == [int(me == committed_at) for me in range(4)]
    digest = digest_of(batch(1))
    changes = {}
    for me in range(4):
        changes[me] = leave(wired.cores[me])
    for quorum in combinations(range(4), 3):
        _, proposals = rules.choose([changes[me] for me in quorum])
        assert proposals == ((1, digest),)


def test_4_5_1_later_evidence_wins_over_earlier() -> None:
    """A prepared in view 0 at one replica, B in view 1 by a quorum: B may be decided, A cannot."""
    changes = [view_change(2, prepared(0, 1, A)), view_change(2, prepared(1, 1, B)), view_change(2)]
    for order in ((0, 1, 2), (1, 0, 2), (2, 1, 0)):
        assert rules.choose([changes[place] for place in order])[1] == ((1, B),)


# ---------------------------------------------------------------------- 4.5.2 liveness


def test_4_5_2_an_idle_primary_is_never_deposed() -> None:
    replica = core(1)
    for _ in range(40):
        replica.now = replica.wake_at
        replica.wake()
    assert replica.standing().view == 0
    assert replica.now > 60 * SECOND
    assert not said(replica, ViewChange)


def test_4_5_2_the_timer_runs_while_a_request_waits_and_stops_when_it_is_executed() -> None:
    replica = core(1)
    replica.submit([request()])
    assert replica.state.timers.deadline("view") == SECOND
    hear(replica, 0, proposal(0, 1, batch(1)))
    commit_from(replica, 0, 2, 3)
    assert replica.state.timers.deadline("view") == NEVER


def test_4_5_2_the_timer_is_set_anew_for_the_next_request() -> None:
    replica = core(1)
    replica.submit([request(1), request(2)])
    replica.now = 900 * MILLISECOND
    hear(replica, 0, proposal(0, 1, batch(1)))
    commit_from(replica, 0, 2, 3)
    assert replica.state.timers.deadline("view") == 900 * MILLISECOND + SECOND


def test_4_5_2_while_changing_the_timer_starts_with_a_quorum_and_doubles_up_to_a_limit() -> None:
    replica = core(3)
    leave(replica)
    waits = []
    for view in range(1, 9):
        assert replica.standing().view == view
        hear(replica, 3, said(replica, ViewChange)[-1])
        hear(replica, 0, view_change(view))
        assert replica.state.timers.deadline("view") == NEVER, "fewer than 2f + 1 have left: wait for them"
        before = replica.now
        hear(replica, 1 if view % 4 != 1 else 2, view_change(view))
        waits.append((replica.state.timers.deadline("view") - before) // SECOND)
        replica.now = replica.state.timers.deadline("view")
        replica.wake()
    assert waits == [1, 2, 4, 8, 8, 8, 8, 8]
    assert CONFIG.view_timeout_growth_max == 8


def test_4_5_2_f_plus_1_view_changes_for_higher_views_are_joined_at_the_smallest() -> None:
    replica = core(3)
    hear(replica, 0, view_change(7))
    assert replica.standing().view == 0, "one may be a liar"
    hear(replica, 1, view_change(5))
    assert replica.standing().view == 5
    assert said(replica, ViewChange) == [view_change(5)]


def test_4_5_2_a_cluster_whose_first_two_primaries_are_dead_goes_on_with_the_third() -> None:
    wired = Wired(7, link=lambda sender, receiver, _message: min(sender, receiver) > 1)
    wired.submit(request())
    wired.settle()
    wired.pass_time(6 * SECOND)
    assert wired.positions()[2:] == [1] * 5
    assert {one.standing().view for one in wired.cores[2:]} == {2}


# ---------------------------------------------------------------------- exactly once


def test_exactly_once_a_request_in_two_batches_is_executed_once() -> None:
    """A primary may propose a request again after a view change, if it never heard of the decision."""
    put = describe(KeyValueStore).encode("put", ("k", "v"))
    once = request()
    first = Delivery(1, 0, (type(once)(FIRST_CLIENT, 1, 0, (put,), bytes(64)),), 0, False)
    executor = Executor(KeyValueStore())
    answers = executor.deliver(first)
    again = executor.deliver(Delivery(2, 0, (*first.requests, *first.requests), 1, False))
    assert again == answers * 2, "the kept answer, of position 1"
    assert executor.position == 2


def test_exactly_once_a_request_decided_in_one_view_is_not_proposed_in_the_next() -> None:
    wired = Wired()
    wired.submit(request(1))
    wired.settle()
    wired.link = lambda sender, receiver, _message: sender != 0 and receiver != 0
    wired.submit(request(2), to=(1, 2, 3))
    wired.pass_time(3 * SECOND)
    executed = [one.number for delivery in wired.delivered[1] for one in delivery.requests]
    assert executed == [1, 2]
