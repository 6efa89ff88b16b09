"""Large requests go to all replicas; the primary proposes their digests, and what has no body stalls no view."""

from __future__ import annotations

from pbft_pieces import core, hear, request, said, seal

from outvote.core.contract import canonical, digest_of
from outvote.protocols.pbft.large import LARGE_BYTES_MIN
from outvote.protocols.pbft.messages import (
    Batch,
    BriefPrePrepare,
    Forward,
    Prepare,
    PrePrepare,
    RequestDigest,
    Status,
    ViewChange,
)
from outvote.types import FIRST_CLIENT

LARGE = request(1, text="x" * 5000)
SMALL = request(1, client=1)
MIXED = Batch(0, (LARGE, SMALL))
BRIEF = BriefPrePrepare(
    0, 1, digest_of(MIXED), 0, (None, SMALL), (RequestDigest(FIRST_CLIENT, 1, digest_of(LARGE)),)
)


def test_the_primary_proposes_digests_of_what_is_large() -> None:
    primary = core(0)
    primary.submit([LARGE, SMALL])
    (proposal,) = said(primary, BriefPrePrepare)
    assert proposal == BRIEF
    assert said(primary, PrePrepare) == []
    assert len(canonical(proposal)) < 400 < LARGE_BYTES_MIN < len(canonical(MIXED))
    hear(primary, 0, proposal)
    assert primary.state.slot(1).seal == seal(0), "its own copy, with the bodies that it has"


def test_a_backup_that_has_the_body_accepts_at_once() -> None:
    backup = core(1)
    backup.submit([LARGE])
    assert said(backup, Forward) == [], "the client sends it to the primary as well"
    hear(backup, 0, BRIEF)
    assert said(backup, Prepare) == [Prepare(0, 1, digest_of(MIXED))]
    assert backup.state.slot(1).batches[digest_of(MIXED)] == MIXED


def test_one_that_has_not_accepts_when_the_client_sends_it() -> None:
    backup = core(1)
    hear(backup, 0, BRIEF)
    assert said(backup, Prepare) == []
    assert list(backup.state.briefs) == [1]
    backup.submit([request(1, text="y" * 5000, client=2)])
    assert said(backup, Prepare) == []
    backup.submit([LARGE])
    assert said(backup, Prepare) == [Prepare(0, 1, digest_of(MIXED))]
    assert backup.state.briefs == {}


def test_one_that_never_gets_it_asks_and_takes_the_whole_proposal() -> None:
    backup = core(1)
    hear(backup, 0, BRIEF)
    backup.out.clear()
    backup.now = backup.wake_at
    backup.wake()
    (status,) = said(backup, Status)
    assert isinstance(status, Status)
    primary = core(0)
    primary.submit([LARGE, SMALL])
    primary.out.clear()
    hear(primary, 1, status)
    assert said(primary, PrePrepare) == [PrePrepare(0, 1, digest_of(MIXED), MIXED)]
    hear(backup, 0, PrePrepare(0, 1, digest_of(MIXED), MIXED))
    assert said(backup, Prepare) == [Prepare(0, 1, digest_of(MIXED))]


def a_body_that_nobody_has() -> None:
    """The view timer runs for the position, and the backup leaves."""
    backup = core(1)
    hear(backup, 0, BRIEF)
    for _ in range(20):
        backup.now = backup.wake_at
        backup.wake()
        if said(backup, ViewChange):
            break
    assert backup.state.view == 1
    assert backup.state.briefs == {}
    assert backup.now <= 2 * backup.state.config.view_timeout_ns


def test_a_primary_that_proposes_what_nobody_has_loses_its_view() -> None:
    a_body_that_nobody_has()


def test_a_body_with_another_digest_is_not_what_was_proposed() -> None:
    backup = core(1)
    backup.submit([request(1, text="z" * 5000)])
    hear(backup, 0, BRIEF)
    assert said(backup, Prepare) == []
    assert list(backup.state.briefs) == [1]


def test_a_second_proposal_is_evidence_though_it_is_brief() -> None:
    backup = core(1)
    backup.submit([LARGE])
    hear(backup, 0, BRIEF)
    other = Batch(7, (LARGE, SMALL))
    hear(backup, 0, BriefPrePrepare(0, 1, digest_of(other), 7, BRIEF.requests, BRIEF.left_out))
    assert backup.out.lies == [(0, "two pre-prepares for one position")]
    assert backup.state.suspected


def test_shapes_that_do_not_fit_are_not_admitted() -> None:
    backup = core(1)
    digest = digest_of(MIXED)
    assert not backup.admits(0, BriefPrePrepare(0, 1, digest, 0, (None, None), BRIEF.left_out))
    assert not backup.admits(0, BriefPrePrepare(1, 1, digest, 0, BRIEF.requests, BRIEF.left_out))
    assert not backup.admits(0, BriefPrePrepare(0, 100, digest, 0, BRIEF.requests, BRIEF.left_out))
    many = (SMALL,) * (backup.state.config.batch_requests_max + 1)
    assert not backup.admits(0, BriefPrePrepare(0, 1, digest, 0, many, ()))
    assert backup.admits(0, BRIEF)
