"""PBFT's tags, part of the wire's and the log's format; and its limits, part of the memory's sum."""

from __future__ import annotations

import pytest

from outvote.core.checkpoints import GENESIS, Checkpoint, CheckpointCertificate
from outvote.core.contract import Message, Record, Struct, digest_of
from outvote.protocols.pbft import admission, catch_up, checkpoint, config, messages, records, replica, view_change
from outvote.types import SECOND

TAGS: dict[type[Struct], int] = {
    messages.PrePrepare: 1, messages.Prepare: 2, messages.Commit: 3, Checkpoint: 4, messages.ViewChange: 5,
    messages.NewView: 6, messages.ProposalStatement: 11, messages.DecidedStatement: 12, messages.Forward: 21,
    messages.Status: 22, messages.Decided: 23, messages.StableProof: 24, messages.NewViewProof: 25,
    messages.FetchBatch: 26, messages.FetchedBatch: 27, messages.QueryReached: 28,
    messages.ReachedReply: 29, messages.BriefPrePrepare: 10, messages.Complaint: 35,
    records.Accepted: 1, records.Prepared: 2, records.Left: 3, records.Entered: 4, records.Committed: 5,
    records.Certified: 6, records.Body: 7, records.Announced: 8,
}  # fmt: skip


@pytest.mark.parametrize(("kind", "tag"), TAGS.items(), ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_tag_never_changes(kind: type[Struct], tag: int) -> None:
    assert kind.__struct_config__.tag == tag


def test_every_message_and_record_has_its_tag_here() -> None:
    kinds: tuple[type[Message] | type[Record], ...] = (*messages.MESSAGES, *records.RECORDS)
    assert [kind.__name__ for kind in kinds if kind not in TAGS] == []


def test_what_is_sealed_and_what_is_not() -> None:
    unsealed = [kind.__name__ for kind in messages.MESSAGES if not kind.sealed]
    assert unsealed == [
        "Commit", "Forward", "Status", "Decided", "StableProof", "NewViewProof", "FetchBatch", "FetchedBatch",
        "QueryReached", "ReachedReply", "Complaint",
    ]


def test_the_null_batch_and_the_first_checkpoint_never_change() -> None:
    assert messages.Batch(0, ()) == messages.NULL_BATCH
    assert digest_of(messages.NULL_BATCH) == messages.NULL_DIGEST
    assert CheckpointCertificate(0, b"", ()) == GENESIS
    assert (messages.PHASE_PROPOSED, messages.PHASE_PREPARED, messages.PHASE_COMMITTED) == (1, 2, 4)


def test_the_limits() -> None:
    mebibyte = 1024 * 1024
    assert admission.EARLY_VOTES_MAX == 256
    assert 8 * mebibyte == admission.EARLY_PROPOSALS_BYTES_MAX
    assert 2 * mebibyte == catch_up.ANSWERED_BYTES_MAX
    assert catch_up.ANSWERED_SLOTS_MAX == 32
    assert messages.PHASES_MAX == 64
    assert 4 * mebibyte == config.FRAME_BYTES_MAX
    assert view_change.FORWARDED_MAX == 64
    assert replica.FORWARDED_AGAIN_MAX == 16
    assert replica.SETTLING_INTERVALS == 25
    assert checkpoint.FETCH_PATIENCE_NS == 2 * SECOND


def test_marks_are_told_apart() -> None:
    assert len(set(records.MARKS)) == 3
