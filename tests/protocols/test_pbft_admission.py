"""What a PBFT replica lets in, kind by kind: asked before a signature is paid for, so each refusal saves work, and each
bound keeps a liar from filling memory."""

from __future__ import annotations

import msgspec
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
    request,
    said,
    seals,
    stable_at_4,
    view_change,
)

from outvote.core.checkpoints import Checkpoint, CheckpointCertificate
from outvote.core.contract import Message, digest_of
from outvote.machines.state_transfer import FetchNodes
from outvote.protocols.pbft import admission
from outvote.protocols.pbft.admission import EARLY_PROPOSALS_BYTES_MAX, EARLY_VOTES_MAX
from outvote.protocols.pbft.messages import (
    Batch,
    Commit,
    Decided,
    FetchBatch,
    FetchedBatch,
    Forward,
    NewViewProof,
    Prepare,
    PrePrepare,
    StableProof,
    Status,
    ViewChange,
)
from outvote.protocols.pbft.replica import PbftReplica

A, B = digest_of(batch(1)), digest_of(batch(2))


def decided(me: int) -> PbftReplica:
    """Position 1 is prepared, committed and delivered in view 0."""
    replica = core(me)
    hear(replica, 0, proposal(0, 1, batch(1)))
    for sender in (2, 3):
        hear(replica, sender, Prepare(0, 1, A))
    for sender in (0, 2, 3):
        hear(replica, sender, Commit(0, 1, A))
    assert replica.state.delivered == 1
    return replica


def changing(me: int, view: int = 1) -> PbftReplica:
    """It has left for `view` and not entered it."""
    replica = core(me)
    for sender in (one for one in range(4) if one != me):
        if replica.state.view < view:
            hear(replica, sender, view_change(view))
    assert (replica.state.view, replica.state.active) == (view, False)
    replica.out.clear()
    return replica


def test_a_kind_that_is_not_of_this_protocol_is_dropped() -> None:
    assert not core(1).admits(0, FetchNodes(4, b"x" * 32, 1, ()))


# ---------------------------------------------------------------------- proposals and votes


def test_a_proposal_is_let_in_once_and_a_contradiction_too() -> None:
    backup = core(1)
    first = proposal(0, 1, batch(1))
    assert backup.admits(0, first)
    hear(backup, 0, first)
    assert not backup.admits(0, first), "its seal is known: nothing new"
    assert backup.admits(0, proposal(0, 1, batch(2))), "evidence against the primary"
    assert backup.admits(0, proposal(0, 2, batch(2)))


def test_a_place_that_votes_made_lets_the_proposal_in() -> None:
    backup = core(1)
    hear(backup, 2, Prepare(0, 1, A))
    assert backup.admits(0, proposal(0, 1, batch(1)))


def test_a_primarys_own_proposal_comes_back_once() -> None:
    primary = core(0)
    primary.submit([request()])
    (mine,) = said(primary, PrePrepare)
    assert primary.admits(0, mine), "its own seal is not known before"
    hear(primary, 0, mine)
    assert not primary.admits(0, mine)


def test_where_all_is_said_nothing_is_let_in() -> None:
    replica = decided(1)
    assert not replica.admits(0, proposal(0, 1, batch(1)))
    assert not replica.admits(0, proposal(0, 1, batch(2)))
    assert not replica.admits(1, Commit(0, 1, A))
    assert not replica.admits(3, Prepare(0, 1, A))


def test_a_vote_is_let_in_once_a_sender_and_another_prepare_as_evidence() -> None:
    replica = core(1)
    for vote in (Prepare(0, 1, A), Commit(0, 1, A)):
        assert replica.admits(2, vote)
        hear(replica, 2, vote)
        assert not replica.admits(2, vote)
        assert replica.admits(3, vote)
    assert replica.admits(2, Prepare(0, 1, B)), "sealed, so it convicts"
    assert not replica.admits(2, Commit(0, 1, B)), "unsealed, so it convicts nobody"


def test_prepares_matter_until_it_is_prepared() -> None:
    replica = core(1)
    hear(replica, 0, proposal(0, 1, batch(1)))
    hear(replica, 2, Prepare(0, 1, A))
    assert replica.admits(3, Prepare(0, 1, A))
    hear(replica, 3, Prepare(0, 1, A))
    assert not replica.admits(1, Prepare(0, 1, A))


def test_a_decision_without_our_own_commit_still_lets_proposal_and_votes_in() -> None:
    """DECIDED came first: the others may need our votes in this view."""
    replica = core(1)
    for sender in (2, 3):
        hear(replica, sender, Decided(1, batch(1)))
    assert replica.state.delivered == 1
    assert replica.admits(0, proposal(0, 1, batch(1)))
    assert replica.admits(2, Prepare(0, 1, A))
    assert replica.admits(2, Commit(0, 1, A))


@pytest.mark.parametrize("kind", [Prepare, Commit])
def test_what_is_early_is_kept_within_bounds(kind: type[Prepare] | type[Commit]) -> None:
    replica = core(1)
    for number in range(EARLY_VOTES_MAX):
        vote = kind(1 + number // 8, 1 + number % 8, A)
        assert replica.admits(2, vote)
        hear(replica, 2, vote)
    assert not replica.admits(2, kind(99, 1, A))
    assert replica.admits(3, kind(99, 1, A)), "each sender has room of its own"
    assert replica.admits(2, proposal(2, 1, batch(1))), "proposals have, too"
    for position in range(1, 5):
        hear(replica, 3, proposal(3, position, batch(1)))
    for number in range(EARLY_VOTES_MAX):
        assert replica.admits(3, kind(1 + number // 8, 1, A))
        hear(replica, 3, kind(1 + number // 8, 1, A))
    assert not replica.admits(3, kind(99, 1, A))
    assert not replica.out.messages


def test_votes_for_the_view_that_is_awaited_are_bounded_like_other_early_ones() -> None:
    replica = changing(3, 1)
    for _ in range(EARLY_VOTES_MAX):
        hear(replica, 2, Prepare(1, 1, A))
    assert len(replica.state.early[2]) == EARLY_VOTES_MAX
    assert not replica.admits(2, Prepare(1, 1, A))


def test_early_proposals_are_kept_up_to_a_window() -> None:
    replica = core(1)
    for number in range(CONFIG.window):
        assert replica.admits(2, proposal(2, 1 + number, batch(1)))
        hear(replica, 2, proposal(2, 1 + number, batch(1)))
    assert not replica.admits(2, proposal(2, 1, batch(1)))
    assert replica.admits(2, Prepare(2, 1, A))


def test_early_proposals_are_kept_up_to_a_number_of_bytes() -> None:
    """Each counts 200, and each request 100 and its operations; the last byte that fits fits."""
    replica = core(1)
    half = EARLY_PROPOSALS_BYTES_MAX // 2
    one = Batch(0, (msgspec.structs.replace(request(), operations=(bytes(half - 200 - 100 - 5),)),))
    assert admission.size_bytes(proposal(2, 1, one)) == half
    hear(replica, 2, proposal(2, 1, one))
    longer = Batch(0, (msgspec.structs.replace(request(), operations=(bytes(half - 200 - 100 - 4),)),))
    assert not replica.admits(2, proposal(2, 2, longer))
    assert replica.admits(2, proposal(2, 2, one))


def test_while_the_view_is_changed_its_messages_are_early_and_older_ones_are_late() -> None:
    replica = changing(3, 5)
    for message in (proposal(5, 1, batch(1)), Prepare(5, 1, A), Commit(5, 1, A)):
        assert replica.admits(1, message)
        hear(replica, 1, message)
    assert [message for message, _ in replica.state.early[1]] == [
        proposal(5, 1, batch(1)), Prepare(5, 1, A), Commit(5, 1, A)
    ]
    for late in (proposal(4, 1, batch(1)), Prepare(4, 1, A), Commit(4, 1, A)):
        assert not replica.admits(0, late)
    assert not replica.state.slots


# ---------------------------------------------------------------------- decisions and checkpoints


def test_decided_matters_above_what_is_delivered_and_once_a_sender() -> None:
    replica = core(1)
    for position in (-1, 0, CONFIG.window + 1):
        assert not replica.admits(2, Decided(position, batch(1)))
    assert replica.admits(2, Decided(CONFIG.window, batch(1)))
    assert replica.admits(2, Decided(1, batch(1)))
    hear(replica, 2, Decided(1, batch(1)))
    assert not replica.admits(2, Decided(1, batch(2)))
    assert replica.admits(3, Decided(1, batch(1)))
    assert not decided(1).admits(2, Decided(1, batch(1))), "delivered"


def test_decided_does_not_matter_below_a_state_that_came_whole() -> None:
    replica = core(1)
    replica.restore(4, b"e" * 32, [])
    assert not replica.admits(2, Decided(3, batch(1)))
    assert not replica.admits(2, Decided(4, batch(1)))
    assert replica.admits(2, Decided(5, batch(1)))


def test_decided_does_not_matter_where_it_is_decided_already() -> None:
    replica = core(1)
    for sender in (2, 3):
        hear(replica, sender, Decided(2, batch(2)))
    assert replica.state.delivered == 0
    assert not replica.admits(0, Decided(2, batch(2)))


def test_a_checkpoint_matters_at_its_positions_above_the_stable_one_once_a_sender() -> None:
    replica = stable_at_4(1)
    for position in (0, 4, 5, 7, 9):
        assert not replica.admits(2, Checkpoint(position, A))
    for position in (8, 12):
        assert replica.admits(2, Checkpoint(position, A))
        hear(replica, 2, Checkpoint(position, A))
        assert not replica.admits(2, Checkpoint(position, B))
        assert replica.admits(3, Checkpoint(position, A))
    assert not replica.state.checkpoint_votes.far, "12 is the last of the window"


def test_beyond_the_window_only_a_senders_latest_checkpoint_matters() -> None:
    replica = core(1)
    assert replica.admits(2, Checkpoint(16, A))
    hear(replica, 2, Checkpoint(16, A))
    assert not replica.admits(2, Checkpoint(16, A))
    assert not replica.admits(2, Checkpoint(12, A))
    assert replica.admits(2, Checkpoint(20, A))
    assert replica.admits(3, Checkpoint(12, A))


def test_a_stable_proof_matters_above_our_own_with_as_many_seals_as_replicas_at_most() -> None:
    replica = stable_at_4(1)
    assert not replica.admits(2, StableProof(certified(4)))
    assert replica.admits(2, StableProof(certified(8)))
    assert replica.admits(2, StableProof(CheckpointCertificate(8, A, seals(range(4)))))
    assert not replica.admits(2, StableProof(CheckpointCertificate(8, A, seals((0, 1, 2, 3, 3)))))


# ---------------------------------------------------------------------- requests and questions


def test_questions_are_always_let_in() -> None:
    replica = changing(2, 7)
    assert replica.admits(0, Status(0, True, 0, 0, b""))
    assert replica.admits(0, FetchBatch(1, A))


def test_a_forwarded_request_matters_to_an_active_primary_until_it_is_executed() -> None:
    assert core(0).admits(1, Forward(request()))
    assert not core(2).admits(1, Forward(request()))
    assert not changing(2, 2).admits(1, Forward(request())), "it will lead, and does not yet"
    primary = core(0)
    primary.state.pool.mark_executed(request())
    assert not primary.admits(1, Forward(request()))


def test_a_fetched_batch_matters_to_a_primary_that_must_propose_it() -> None:
    primary = changing(1)
    hear(primary, 1, new_view(1, dict.fromkeys((0, 2, 3), view_change(1, prepared(0, 1, A))), [(1, A)]))
    assert primary.state.leads()
    assert primary.admits(3, FetchedBatch(1, batch(1)))
    assert not primary.admits(3, FetchedBatch(2, batch(1)))
    backup = changing(2)
    hear(backup, 1, new_view(1, dict.fromkeys((0, 2, 3), view_change(1, prepared(0, 1, A))), [(1, A)]))
    assert backup.state.required == {1: A}
    assert not backup.admits(3, FetchedBatch(1, batch(1)))


# ---------------------------------------------------------------------- view changes


def test_a_view_change_matters_for_views_not_entered_and_above_the_senders_last() -> None:
    replica = core(3)
    assert not replica.admits(0, view_change(0))
    assert replica.admits(0, view_change(1))
    hear(replica, 0, view_change(3))
    assert not replica.admits(0, view_change(2))
    assert not replica.admits(0, view_change(3))
    assert replica.admits(0, view_change(4))
    replica = changing(3, 5)
    assert replica.admits(2, view_change(5))
    assert not replica.admits(2, view_change(4))


def test_a_view_change_for_the_view_that_is_entered_comes_too_late() -> None:
    replica = changing(2)
    hear(replica, 1, new_view(1, dict.fromkeys((0, 1, 3), view_change(1)), []))
    assert replica.state.active
    assert not replica.admits(1, view_change(1))
    assert replica.admits(1, view_change(2))


TOO_MANY = (0, 1, 2, 3, 3)


@pytest.mark.parametrize(
    ("message", "let_in"),
    [
        (view_change(1, stable=certified(4, signers=range(4))), True),
        (view_change(1, stable=certified(4, signers=TOO_MANY)), False),
        (view_change(1, prepared(0, 1, A, range(4))), True),
        (view_change(1, prepared(0, 1, A), prepared(0, 2, A, TOO_MANY)), False),
        (view_change(1, *(prepared(0, place, A) for place in range(1, 9))), True),
        (view_change(1, *(prepared(0, place, A) for place in range(1, 10))), False),
    ],
    ids=["n seals", "more", "n prepares", "more prepares", "a window", "more than a window"],
)
def test_a_view_change_is_let_in_if_its_seals_are_few_enough_to_be_checked(message: ViewChange, let_in: bool) -> None:
    assert core(3).admits(0, message) is let_in
    whole: Message = new_view(1, {0: view_change(1), 1: view_change(1), 2: message}, [])
    assert core(3).admits(1, whole) is let_in


@pytest.mark.parametrize("n", [4, 7])
def test_a_new_view_is_let_in_with_exactly_a_quorum(n: int) -> None:
    quorum = {4: 3, 7: 5}[n]
    for count in (quorum - 1, quorum, quorum + 1):
        message = new_view(1, dict.fromkeys(range(count), view_change(1)), [])
        assert core(3, n).admits(1, message) is (count == quorum)


def test_a_new_view_matters_for_views_not_entered() -> None:
    message = new_view(5, dict.fromkeys((0, 1, 3), view_change(5)), [])
    assert core(3).admits(1, message), "it need not have left the old view to follow a quorum"
    assert changing(3, 5).admits(1, message)
    assert not changing(3, 6).admits(1, message)
    entered = changing(3, 5)
    hear(entered, 1, message)
    assert entered.state.active
    assert not entered.admits(1, message)


def test_a_new_view_passed_on_names_a_member_as_its_sender() -> None:
    message = new_view(1, dict.fromkeys((0, 1, 3), view_change(1)), [])
    replica = core(3)
    assert replica.admits(2, NewViewProof(1, message, b""))
    for stranger in (-1, 4, 1 << 40):
        assert not replica.admits(2, NewViewProof(stranger, message, b""))
    assert not changing(3, 2).admits(2, NewViewProof(1, message, b"")), "an old view"
