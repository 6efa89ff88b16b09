"""Checkpoints of PBFT step by step: what becomes stable, what is forgotten, when a state is fetched and from whom."""

from __future__ import annotations

import pytest
from pbft_pieces import batch, certified, core, hear, prepared, proposal, recorded, said, seal, seals, state_digest

from outvote.core.checkpoints import Checkpoint, CheckpointCertificate
from outvote.core.contract import Stable, Transfer, digest_of
from outvote.protocols.pbft import checkpoint
from outvote.protocols.pbft.messages import Commit, Decided, StableProof
from outvote.protocols.pbft.records import Certified, Committed
from outvote.protocols.pbft.replica import PbftReplica
from outvote.types import SECOND

A = digest_of(batch(1))
S4, S8, S12, S16 = (state_digest(position) for position in (4, 8, 12, 16))


def vote(one: PbftReplica, position: int, *senders: int, digest: bytes | None = None) -> None:
    for sender in senders:
        hear(one, sender, Checkpoint(position, state_digest(position) if digest is None else digest))


def at(position: int, me: int = 1, n: int = 4) -> PbftReplica:
    """A replica that has executed everything up to `position`; no checkpoint is stable."""
    one = core(me, n)
    one.restore(position, b"e" * 32, [])
    one.state.stored = 0  # executed, not read back
    one.out.clear()
    return one


def clear(one: PbftReplica) -> None:
    one.out.clear()


# ---------------------------------------------------------------------- votes


def test_the_certificate_has_the_lowest_quorum_of_voters_and_becomes_a_note() -> None:
    one = at(4, 1, 7)
    one.executed(4, S4)
    vote(one, 4, 6, 5, 3, 2, digest=S8)
    vote(one, 4, 0, 1, 4)
    assert one.state.low == 0
    vote(one, 4, 2)
    assert one.state.low == 0, "its first vote stands"
    one = at(4, 1, 7)
    one.executed(4, S4)
    vote(one, 4, 6, 5, 3, 2, 0)
    certificate = CheckpointCertificate(4, S4, seals((0, 2, 3, 5, 6)))
    assert one.state.certified == certificate
    assert one.out.notes == [Certified(certificate)]
    assert one.out.stable == [Stable(4, S4)]
    assert not one.out.transfers


def test_the_certificate_of_a_state_that_is_stored_already_is_a_record() -> None:
    """No log begins anew behind it, so a note would be lost with the next crash, and the window go back."""
    one = core(1)
    one.restore(4, S4, [])
    one.out.clear()
    one.executed(4, S4)
    vote(one, 4, 0, 2, 3)
    assert one.state.low == 4
    assert [type(record) for record in one.out.records] == [Certified]
    assert not one.out.notes


def test_our_checkpoint_is_said_once_executed_and_its_decision_is_durable_before() -> None:
    one = core(1)
    for position in range(1, 5):
        hear(one, 0, proposal(0, position, batch(position)))
        for sender in (0, 2, 3):
            hear(one, sender, Commit(0, position, digest_of(batch(position))))
    assert one.state.delivered == 4
    clear(one)
    one.executed(4, S4)
    assert one.out.messages == [(-1, Checkpoint(4, S4))]
    (record,) = recorded(one, Committed)
    assert isinstance(record, Committed)
    assert (record.decision.position, record.decision.digest) == (4, digest_of(batch(4)))


def test_what_is_stable_already_is_not_said_again() -> None:
    one = at(4)
    one.executed(4, S4)
    vote(one, 4, 0, 2, 3)
    clear(one)
    one.executed(4, S4)
    assert not one.out.waits()
    assert not one.state.own_digests


def test_a_checkpoint_certified_before_we_execute_it_becomes_stable_then() -> None:
    one = at(8)
    vote(one, 4, 0, 2, 3)
    assert one.state.ahead == certified(4, S4, (0, 2, 3))
    assert not one.out.transfers, "we shall get there by ourselves"
    one.executed(8, S8)
    assert one.state.low == 0
    one.executed(4, S4)
    assert one.state.low == 4
    assert one.state.ahead is None
    assert one.out.stable == [Stable(4, S4)]


def test_another_state_than_the_certified_one_is_wrong_and_replaced() -> None:
    one = at(4)
    one.executed(4, b"!" * 32)
    vote(one, 4, 0, 2, 3)
    assert one.out.transfers == [Transfer(4, S4, (0, 2, 3), 2 * SECOND)]
    assert not one.out.stable
    assert recorded(one, Certified) == [Certified(certified(4, S4, (0, 2, 3)))]


# ---------------------------------------------------------------------- far ahead of us


def test_a_quorum_of_equal_votes_beyond_the_window_makes_us_fetch() -> None:
    one = core(1, 7)
    vote(one, 12, 0, 6)
    vote(one, 16, 2)
    vote(one, 12, 3, digest=S16)
    vote(one, 12, 4, 5)
    assert not one.out.transfers
    assert one.state.checkpoint_votes.far[0] == (12, S12, seal(0))
    hear(one, 2, Checkpoint(20, S12))
    assert not one.out.transfers, "four of five"
    one = core(1, 7)
    vote(one, 12, 6, 5, 4, 3)
    assert not one.out.transfers
    vote(one, 12, 2)
    certificate = certified(12, S12, (2, 3, 4, 5, 6))
    assert one.state.fetching == certificate
    certified_first = (2, 3, 4, 5, 6, 0)
    assert one.out.transfers == [Transfer(12, S12, certified_first, 2 * SECOND)]
    assert one.out.records == [Certified(certificate)]
    assert one.state.low == 12
    assert not one.state.checkpoint_votes.far


def test_who_signed_and_is_us_is_no_source() -> None:
    one = core(1)
    hear(one, 3, StableProof(certified(12, S12, (0, 1, 2))))
    assert one.out.transfers == [Transfer(12, S12, (0, 2, 3), 2 * SECOND)]


# ---------------------------------------------------------------------- proofs


@pytest.mark.parametrize("signers", [(0, 1), (0, 0, 1), (0, 2, 1), (1, 2, 7)])
def test_a_proof_without_a_quorum_is_a_lie(signers: tuple[int, ...]) -> None:
    one = core(1)
    hear(one, 3, StableProof(certified(12, S12, signers)))
    assert one.out.lies == [(3, "stable checkpoint without a quorum")]
    assert not one.out.transfers


def test_a_proof_within_the_window_makes_us_fetch_unless_the_next_decision_is_here() -> None:
    one = core(1)
    hear(one, 3, StableProof(certified(4, S4)))
    assert one.out.transfers == [Transfer(4, S4, (0, 2, 3), 2 * SECOND)]
    one = core(1)
    hear(one, 2, Commit(0, 1, A))
    hear(one, 3, StableProof(certified(4, S4)))
    assert len(one.out.transfers) == 1, "a place that is not decided does not help"


def decided_not_delivered() -> PbftReplica:
    """Position 1 is decided and cannot be delivered, because 12 was being fetched when that happened."""
    one = core(1)
    one.state.fetching = certified(8, S8)
    for sender in (2, 3):
        hear(one, sender, Decided(1, batch(1)))
    assert one.state.delivered == 0
    one.state.fetching = None
    clear(one)
    return one


def test_who_can_go_on_by_itself_does() -> None:
    one = decided_not_delivered()
    hear(one, 3, StableProof(certified(4, S4)))
    assert one.state.ahead == certified(4, S4)
    assert not one.out.transfers


def test_a_proof_while_fetching_starts_no_second_fetch() -> None:
    one = core(1)
    hear(one, 3, StableProof(certified(12, S12)))
    clear(one)
    hear(one, 3, StableProof(certified(16, S16)))
    hear(one, 3, StableProof(certified(24, S16)))
    assert not one.out.transfers
    assert one.state.ahead == certified(24, S16)


def test_the_newest_certified_checkpoint_is_aimed_at() -> None:
    one = at(2)
    vote(one, 8, 0, 2, 3)
    vote(one, 4, 0, 2, 3)
    assert one.state.ahead == certified(8, S8, (0, 2, 3))
    assert one.state.low == 0


def test_what_is_certified_already_is_no_news() -> None:
    one = at(8)
    one.executed(8, S8)
    vote(one, 8, 0, 2, 3)
    clear(one)
    checkpoint.learn(one.state, certified(8, S8))
    checkpoint.learn(one.state, certified(4, b"!" * 32))
    assert not one.out.waits()
    assert one.state.ahead is None


# ---------------------------------------------------------------------- what is forgotten


def test_a_stable_checkpoint_forgets_what_lies_up_to_it_and_nothing_else() -> None:
    one = at(4)
    state = one.state
    for position in (2, 4, 5, 8):
        hear(one, 0, proposal(0, position, batch(position)))
    one.executed(4, S4)
    state.own_digests[8] = S8
    state.required = {4: A, 5: A}
    vote(one, 8, 2)
    state.checkpoint_votes.far = {2: (4, A, b""), 3: (12, A, b"")}
    state.ahead = certified(8, S8)
    vote(one, 4, 0, 2, 3)
    assert state.low == 4
    assert sorted(state.slots) == [5, 8]
    assert state.own_digests == {8: S8}
    assert sorted(state.checkpoint_votes.near) == [8]
    assert state.required == {5: A}
    assert state.checkpoint_votes.far == {3: (12, A, b"")}
    assert state.ahead == certified(8, S8)


def test_a_certificate_of_the_same_place_is_not_ahead_any_more() -> None:
    one = at(4)
    one.state.ahead = certified(4, S4)
    checkpoint.advance_low(one.state, certified(4, S4, (1, 2, 3)))
    assert one.state.ahead is None


# ---------------------------------------------------------------------- a fetch that takes long


def test_patience_doubles_up_to_64_seconds() -> None:
    one = core(1)
    hear(one, 3, StableProof(certified(12, S12)))
    waits = []
    for _ in range(8):
        waits.append((one.state.fetch_deadline - one.now) // SECOND)
        clear(one)
        one.now = one.state.fetch_deadline - 1
        checkpoint.fetch_newer_if_stuck(one.state)
        one.state.now = one.now
        checkpoint.fetch_newer_if_stuck(one.state)
        assert not one.out.transfers
        one.now = one.state.now = one.state.fetch_deadline
        checkpoint.fetch_newer_if_stuck(one.state)
        assert one.out.transfers == [Transfer(12, S12, (0, 2, 3), 2 * SECOND)]
        assert not one.out.records, "known already"
    assert waits == [2, 4, 8, 16, 32, 64, 64, 64]


def test_a_fetch_that_takes_long_is_replaced_by_the_newest_checkpoint() -> None:
    one = core(1)
    hear(one, 3, StableProof(certified(12, S12)))
    hear(one, 3, StableProof(certified(16, S16)))
    clear(one)
    one.state.now = one.state.fetch_deadline
    checkpoint.fetch_newer_if_stuck(one.state)
    assert one.out.transfers == [Transfer(16, S16, (0, 2, 3), 2 * SECOND)]
    assert one.state.low == 16
    assert one.state.ahead is None


def test_without_a_fetch_there_is_nothing_to_replace() -> None:
    one = core(1)
    one.state.now = 100 * SECOND
    checkpoint.fetch_newer_if_stuck(one.state)
    assert not one.out.waits()


# ---------------------------------------------------------------------- the state has come


def test_after_a_transfer_the_replica_goes_on_from_there() -> None:
    one = core(1)
    hear(one, 3, StableProof(certified(4, S4)))
    for position in (5, 6):
        hear(one, 0, proposal(0, position, batch(position)))
        for sender in (0, 2, 3):
            hear(one, sender, Commit(0, position, digest_of(batch(position))))
    assert not one.out.deliveries, "the state they act on is not here"
    one.state.own_digests = {8: S8}
    clear(one)
    one.transferred(4, S8)
    one.transferred(8, S4)
    assert not one.out.waits()
    one.transferred(4, S4)
    assert one.out.stable == [Stable(4, S4)]
    assert one.out.notes[0] == Certified(certified(4, S4))
    assert [delivery.position for delivery in one.out.deliveries] == [5, 6]
    assert not one.state.own_digests
    assert one.state.fetch_patience_ns == 0
    clear(one)
    one.transferred(4, S4)
    assert not one.out.waits(), "a second word about it means nothing"


def test_while_a_state_is_fetched_votes_go_on() -> None:
    one = core(1)
    hear(one, 3, StableProof(certified(4, S4)))
    clear(one)
    hear(one, 0, proposal(0, 5, batch(5)))
    assert prepared(0, 5, digest_of(batch(5))).digest == digest_of(batch(5))
    assert len(one.out.messages) == 1
    assert not said(one, Checkpoint)


# ---------------------------------------------------------------------- side by side


def test_a_place_that_is_not_decided_gives_no_record() -> None:
    one = at(4)
    hear(one, 2, Commit(0, 4, A))
    clear(one)
    one.executed(4, S4)
    assert one.out.messages == [(-1, Checkpoint(4, S4))]
    assert not one.out.records


def test_a_proof_of_what_we_executed_makes_it_stable_and_fetches_nothing() -> None:
    one = at(4)
    one.executed(4, S4)
    hear(one, 3, StableProof(certified(4, S4)))
    assert one.out.stable == [Stable(4, S4)]
    assert not one.out.transfers


def test_of_two_certificates_for_one_checkpoint_the_first_is_kept() -> None:
    one = at(2)
    for signers in ((0, 2, 3), (0, 1, 2)):
        checkpoint.learn(one.state, certified(4, S4, signers))
    assert one.state.ahead == certified(4, S4, (0, 2, 3))
