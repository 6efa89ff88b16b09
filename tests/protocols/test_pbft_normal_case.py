"""PBFT's normal case step by step: what a primary proposes and when, what a backup takes, what is recorded first."""

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
    recorded,
    request,
    said,
    seal,
    view_change,
)

from outvote.core.contract import ALL, Delivery, digest_of
from outvote.protocols.pbft import normal
from outvote.protocols.pbft.messages import Batch, Commit, Decided, Decision, Forward, Prepare, PrePrepare
from outvote.protocols.pbft.records import Accepted, Committed, Prepared
from outvote.protocols.pbft.replica import PbftReplica
from outvote.types import SECOND

A, B, C = (digest_of(batch(number)) for number in (1, 2, 3))
ONE_EACH = msgspec.structs.replace(CONFIG, batch_requests_max=1)


def proposed(one: PbftReplica) -> list[tuple[int, int]]:
    """Position and number of requests."""
    return [
        (message.position, len(message.batch.requests))
        for message in said(one, PrePrepare)
        if isinstance(message, PrePrepare)
    ]


def decide(one: PbftReplica, position: int, digest: bytes) -> None:
    for sender in range(4):
        hear(one, sender, Commit(one.state.view, position, digest))


# ---------------------------------------------------------------------- proposing


def test_a_primary_promises_what_it_recorded_and_has_accepted_it() -> None:
    primary = core(0)
    primary.wall = 77
    primary.submit([request()])
    content = Batch(77, (request(),))
    digest = digest_of(content)
    assert primary.out.records == [Accepted(0, 1, digest, content, b"")]
    assert primary.out.messages == [(ALL, PrePrepare(0, 1, digest, content))]
    slot = primary.state.slots[1]
    assert (slot.digest, slot.seal, slot.batches) == (digest, b"", {digest: content})
    assert primary.state.accepted_end == 1
    assert primary.state.next_position == 2
    assert not primary.state.pool.has_unproposed()


def test_small_batches_go_one_at_a_time() -> None:
    primary = core(0)
    for number in (1, 2, 3):
        primary.submit([request(number)])
    assert proposed(primary) == [(1, 1)]
    (first,) = said(primary, PrePrepare)
    assert isinstance(first, PrePrepare)
    primary.out.clear()
    decide(primary, 1, first.digest)
    assert proposed(primary) == [(2, 2)], "what came meanwhile"


def test_a_batch_that_is_answered_tentatively_keeps_no_other_waiting() -> None:
    primary = core(0)
    primary.submit([request(1)])
    (first,) = said(primary, PrePrepare)
    assert isinstance(first, PrePrepare)
    hear(primary, 0, first)
    primary.submit([request(2)])
    primary.out.clear()
    for sender in (1, 2):
        hear(primary, sender, Prepare(0, 1, first.digest))
    assert primary.out.tentative
    assert primary.state.delivered == 0
    assert proposed(primary) == [(2, 1)], "though the COMMITs of others may yet be held back"


def test_full_batches_follow_each_other_up_to_the_pipelines_depth() -> None:
    primary = core(0, config=ONE_EACH)
    assert ONE_EACH.pipeline == 4
    primary.submit([request(number) for number in range(1, 9)])
    assert proposed(primary) == [(position, 1) for position in (1, 2, 3, 4)]
    first = said(primary, PrePrepare)[0]
    assert isinstance(first, PrePrepare)
    primary.out.clear()
    decide(primary, 1, first.digest)
    assert proposed(primary) == [(5, 1)]


def test_a_batch_that_is_not_full_waits_behind_one_that_is() -> None:
    two_each = msgspec.structs.replace(CONFIG, batch_requests_max=2)
    primary = core(0, config=two_each)
    primary.submit([request(number) for number in (1, 2, 3)])
    assert proposed(primary) == [(1, 2)]
    primary.submit([request(4)])
    assert proposed(primary) == [(1, 2), (2, 2)]


def test_the_last_position_of_the_window_is_used() -> None:
    primary = core(0)
    primary.state.delivered = 7
    primary.submit([request()])
    assert proposed(primary) == [(8, 1)]


def test_a_primary_proposes_above_what_is_delivered_and_stable() -> None:
    primary = core(0)
    primary.restore(3, b"", [])
    primary.submit([request()])
    assert proposed(primary) == [(4, 1)]
    primary = core(0)
    primary.state.fetching = primary.state.certified = certified(4)
    primary.submit([request()])
    assert primary.state.next_position == 5


def test_a_backup_proposes_nothing() -> None:
    backup = core(1)
    backup.submit([request()])
    assert not said(backup, PrePrepare)


# ---------------------------------------------------------------------- taking a proposal


def test_requests_of_a_proposal_are_not_proposed_again_by_whoever_leads_next() -> None:
    backup = core(1)
    backup.submit([request(1), request(2)])
    hear(backup, 0, proposal(0, 1, batch(1)))
    assert [one.number for one in backup.state.pool.cut(9, 10_000)] == [2]


def test_the_primarys_own_copy_completes_what_it_proposed() -> None:
    primary = core(0)
    primary.submit([request()])
    (mine,) = said(primary, PrePrepare)
    assert isinstance(mine, PrePrepare)
    for sender in (1, 2, 3):
        hear(primary, sender, Prepare(0, 1, mine.digest))
    assert not said(primary, Commit), "without its own seal it cannot show a certificate"
    primary.out.clear()
    hear(primary, 0, mine)
    assert said(primary, Commit) == [Commit(0, 1, mine.digest)]
    assert not said(primary, Prepare)
    assert not recorded(primary, Accepted), "recorded when it was proposed"
    (record,) = recorded(primary, Prepared)
    assert isinstance(record, Prepared)
    assert record.certificate.proposal_seal == seal(0)


def test_the_first_seal_of_a_proposal_stands() -> None:
    backup = core(1)
    hear(backup, 0, proposal(0, 1, batch(1)))
    backup.state.slots[1].seal = b"first"
    normal.on_pre_prepare(backup.state, 0, proposal(0, 1, batch(1)), b"second")
    assert backup.state.slots[1].seal == b"first"


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (PrePrepare(0, 1, B, batch(1)), "pre-prepare whose batch has another digest"),
        (proposal(0, 1, batch()), "pre-prepare that this view does not allow"),
        (proposal(0, 1, Batch(0, tuple(request(number) for number in range(1, 6)))), "does not allow"),
        (proposal(0, 1, Batch(0, (request(), msgspec.structs.replace(request(2), operations=())))), "does not allow"),
    ],
    ids=["another digest", "empty", "too many", "no operations"],
)
def test_an_unreasonable_proposal_is_a_lie_and_leaves_the_place_free(message: PrePrepare, words: str) -> None:
    backup = core(1, config=msgspec.structs.replace(CONFIG, batch_requests_max=4))
    hear(backup, 0, message)
    assert [(party, words in told) for party, told in backup.out.lies] == [(0, True)]
    assert not backup.out.records
    hear(backup, 0, proposal(0, 1, Batch(0, tuple(request(number) for number in range(1, 5)))))
    assert len(said(backup, Prepare)) == 1, "as many as a batch may hold"


@pytest.mark.parametrize(("away", "taken"), [(10 * SECOND, True), (10 * SECOND + 1, False)])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_proposed_time_is_taken_within_the_tolerance(away: int, taken: bool, sign: int) -> None:
    backup = core(1)
    backup.wall = 3600 * SECOND
    content = Batch(backup.wall + sign * away, (request(),))
    hear(backup, 0, proposal(0, 1, content))
    assert bool(said(backup, Prepare)) is taken
    assert not backup.out.lies, "it may be old without anybody having lied"
    assert CONFIG.time_tolerance_ns == 10 * SECOND


def test_the_clock_is_not_asked_about_what_a_new_view_demands_or_what_is_decided() -> None:
    backup = core(2)
    hear(backup, 1, new_view(1, dict.fromkeys((0, 1, 3), view_change(1, prepared(0, 1, A))), [(1, A)]))
    backup.wall = 3600 * SECOND
    hear(backup, 1, proposal(1, 1, batch(1)), proposal(1, 2, batch(2)))
    assert said(backup, Prepare) == [Prepare(1, 1, A)]
    backup = core(2)
    backup.wall = 3600 * SECOND
    for sender in (0, 3):
        hear(backup, sender, Decided(1, batch(1)))
    hear(backup, 0, proposal(0, 1, batch(2)))
    assert not said(backup, Prepare), "another than was decided"
    hear(backup, 0, proposal(0, 1, batch(1)))
    assert said(backup, Prepare) == [Prepare(0, 1, A)]


# ---------------------------------------------------------------------- preparing and committing


def test_a_certificate_has_the_lowest_quorum_less_one_of_prepares() -> None:
    one = core(1, 7)
    for sender in (6, 5, 4, 3):
        hear(one, sender, Prepare(0, 1, A))
    hear(one, 0, proposal(0, 1, batch(1)))
    certificate = prepared(0, 1, A, (3, 4, 5, 6), n=7)
    assert recorded(one, Prepared) == [Prepared(certificate)]
    assert one.state.slots[1].prepared == certificate
    one.out.clear()
    hear(one, 2, Prepare(0, 1, A))
    assert not one.out.waits(), "prepared once a view"


def test_of_more_prepares_than_needed_the_lowest_are_shown() -> None:
    one = core(1, 7)
    for sender in (6, 5, 4, 3, 2):
        hear(one, sender, Prepare(0, 1, A))
    hear(one, 0, proposal(0, 1, batch(1)))
    assert recorded(one, Prepared) == [Prepared(prepared(0, 1, A, (2, 3, 4, 5), n=7))]


def test_a_proposal_of_somebody_else_is_a_lie() -> None:
    one = core(1)
    hear(one, 2, proposal(0, 1, batch(1)))
    assert one.out.lies == [(2, "pre-prepare of a view it does not lead")]


def test_the_primarys_prepare_is_a_lie() -> None:
    one = core(1)
    hear(one, 0, Prepare(0, 1, A))
    assert one.out.lies == [(0, "prepare from the primary")]
    assert not one.state.slots


def test_a_decision_is_noted_with_its_voters() -> None:
    one = core(1)
    hear(one, 0, proposal(0, 1, batch(1)))
    decide(one, 1, A)
    assert one.out.notes == [Committed(Decision(0, 1, A, (0, 1, 2), False))]
    assert one.out.deliveries == [Delivery(1, 0, batch(1).requests, 0, False)]
    assert not one.state.pool.waits(request().key)
    assert one.state.pool.executed(*request().key)


def test_every_interval_is_a_checkpoint() -> None:
    one = core(1)
    for position in range(1, 9):
        hear(one, 0, proposal(0, position, batch(position)))
        decide(one, position, digest_of(batch(position)))
    assert [delivery.checkpoint for delivery in one.out.deliveries] == [False, False, False, True] * 2


def test_forwarded_requests_are_taken_by_who_leads() -> None:
    primary = core(0)
    hear(primary, 2, Forward(request()))
    assert proposed(primary) == [(1, 1)]
    backup = core(1)
    hear(backup, 2, Forward(request()))
    assert not backup.state.pool.has_unproposed()


def test_a_batch_and_a_forwarded_request_are_as_long_as_a_batch_may_be() -> None:
    most = CONFIG.batch_bytes_max
    for size, taken in ((most, True), (most + 1, False)):
        long = msgspec.structs.replace(request(), operations=(bytes(size - 105),))
        assert long.size_bytes() == size
        assert core(0).admits(2, Forward(long)) is taken
        backup = core(1)
        hear(backup, 0, proposal(0, 1, Batch(0, (long,))))
        assert bool(said(backup, Prepare)) is taken
