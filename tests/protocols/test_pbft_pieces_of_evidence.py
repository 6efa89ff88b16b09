"""What a PBFT message binds its sender to, what it quotes, and what a place in the order counts."""

from __future__ import annotations

from pbft_pieces import CONFIG, batch, certified, core, new_view, prepared, proposal, request, seal, view_change

from outvote.core.contract import Claim, digest_of
from outvote.protocols.pbft.messages import (
    Commit,
    Decision,
    NewViewProof,
    Prepare,
    ProposalStatement,
    StableProof,
)
from outvote.protocols.pbft.slot import Slot

A, B = digest_of(batch(1)), digest_of(batch(2))


def test_one_statement_a_place_and_kind() -> None:
    """Of two with the same key an honest party makes one only: so kinds must not share keys."""
    statements = [
        ProposalStatement(3, 4, A), Prepare(3, 4, A), Commit(3, 4, A), view_change(3), new_view(3, {}, []),
    ]
    assert [one.exclusive() for one in statements] == [(1, 3, 4), (2, 3, 4), (3, 3, 4), (5, 3), (6, 3)]


def test_a_proposal_quotes_its_requests_and_is_sealed_by_digest() -> None:
    message = proposal(3, 4, batch(1, 2))
    assert message.claims() == [request(1).claim(), request(2).claim()]
    assert message.statement() == ProposalStatement(3, 4, digest_of(batch(1, 2)))


def test_a_view_change_quotes_every_seal_in_it() -> None:
    certificate, stable = prepared(0, 5, A, (1, 2)), certified(4)
    assert view_change(1, certificate, stable=stable).claims() == [*stable.claims(), *certificate.claims()]
    assert [claim.signer for claim in certificate.claims()] == [0, 1, 2]
    assert [claim.statement for claim in certificate.claims()] == [
        ProposalStatement(0, 5, A), Prepare(0, 5, A), Prepare(0, 5, A)
    ]
    assert StableProof(stable).claims() == stable.claims()


def test_a_new_view_quotes_its_view_changes_and_every_seal_in_them() -> None:
    changes = {0: view_change(1, prepared(0, 1, A)), 2: view_change(1)}
    message = new_view(1, changes, [(1, A)])
    assert message.claims() == [
        Claim(0, changes[0], seal(0)), *changes[0].claims(), Claim(2, changes[2], seal(2)),
    ]
    assert NewViewProof(1, message, seal(1)).claims() == [Claim(1, message, seal(1)), *message.claims()]


def test_a_place_is_done_in_the_view_that_decided_it_once_our_commit_is_out() -> None:
    slot = Slot(1)
    slot.committed = Decision(2, 1, A, (0, 1, 2), False)
    assert not slot.done_in(2)
    slot.prepared_now = True
    assert slot.done_in(2)
    assert not slot.done_in(3), "in a later view our vote may be needed again"


def test_commits_of_a_quorum_decide_what_is_at_hand() -> None:
    slot = Slot(1)
    for sender in (0, 1, 2):
        assert slot.commits_suffice(3) is None
        slot.commits.add(sender, A, b"")
    assert slot.commits_suffice(3) is None, "its batch is not here"
    slot.batches[A] = batch(1)
    assert slot.commits_suffice(3) == A


def test_a_new_replica_knows_nothing() -> None:
    state = core(1).state
    assert (state.view, state.active, state.low, state.high) == (0, True, 0, CONFIG.window)
    assert (state.delivered, state.next_position, state.required_end, state.accepted_end) == (0, 1, 0, 0)
    assert (state.fruitless_views, state.asks_until, state.delivered_last_tick) == (0, 0, 0)
    assert state.view_timeout_ns == CONFIG.view_timeout_ns
    assert not state.slots
