"""CHECKPOINT votes: certificates are made of a quorum's seals, and strangers cannot make the votes grow."""

from __future__ import annotations

from outvote.core.checkpoints import Checkpoint, CheckpointCertificate, CheckpointVotes
from outvote.core.committee import Committee

LOW, HIGH, INTERVAL = 0, 8, 4
ALL = Committee(4)
A, B = b"a", b"b"


def test_a_quorum_with_one_digest_makes_a_certificate_and_a_liar_among_them_none() -> None:
    votes = CheckpointVotes(ALL)
    assert votes.add(0, Checkpoint(4, A), b"0", HIGH) is None
    assert votes.add(1, Checkpoint(4, B), b"1", HIGH) is None
    assert votes.add(2, Checkpoint(4, A), b"2", HIGH) is None
    assert votes.add(3, Checkpoint(4, A), b"3", HIGH) == CheckpointCertificate(4, A, ((0, b"0"), (2, b"2"), (3, b"3")))


def test_only_votes_that_could_matter_are_admitted() -> None:
    votes = CheckpointVotes(ALL)
    assert not votes.admits(1, 0, LOW, HIGH, INTERVAL)
    assert not votes.admits(1, 5, LOW, HIGH, INTERVAL)
    assert votes.admits(1, 4, LOW, HIGH, INTERVAL)
    votes.add(1, Checkpoint(4, A), b"", HIGH)
    assert not votes.admits(1, 4, LOW, HIGH, INTERVAL)
    assert votes.admits(2, 4, LOW, HIGH, INTERVAL)


def test_of_what_lies_beyond_the_window_a_sender_keeps_its_latest_alone() -> None:
    votes = CheckpointVotes(ALL)
    for position in range(12, 12 + 400, INTERVAL):
        assert votes.admits(1, position, LOW, HIGH, INTERVAL)
        assert votes.add(1, Checkpoint(position, B), b"", HIGH) is None
    assert len(votes.far) == 1
    assert not votes.admits(1, 12, LOW, HIGH, INTERVAL)
    for sender in (0, 2):
        assert votes.add(sender, Checkpoint(16, A), b"", HIGH) is None
    certificate = votes.add(3, Checkpoint(16, A), b"", HIGH)
    assert certificate is not None
    assert [voter for voter, _ in certificate.seals] == [0, 2, 3]


def test_what_is_certified_is_forgotten_and_nothing_above_it() -> None:
    votes = CheckpointVotes(ALL)
    for position in (4, 8, 12):
        votes.add(position // 4, Checkpoint(position, A), b"", HIGH)
    votes.forget(4)
    assert (list(votes.near), [vote[0] for vote in votes.far.values()]) == ([8], [12])
    votes.forget(12)
    assert (votes.near, votes.far) == ({}, {})


def test_a_state_is_asked_first_of_those_who_certified_it_and_never_of_oneself() -> None:
    certificate = CheckpointCertificate(4, A, ((3, b""), (1, b""), (0, b"")))
    assert certificate.sources(4, 1) == (3, 0, 2)
