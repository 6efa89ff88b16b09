"""The facts that a restart needs, so that a replica comes back bound by everything it ever sent.

Tags are part of the log's format. `Accepted` and `Body` hold batches; the others refer to them by digest.
"""

from __future__ import annotations

from typing import Final

from outvote.core.checkpoints import CheckpointCertificate
from outvote.core.committee import Committee
from outvote.core.contract import Claim, Note, Record, Struct
from outvote.protocols.pbft.messages import (
    NULL_DIGEST,
    Batch,
    Commit,
    DecidedStatement,
    Decision,
    NewView,
    PreparedCertificate,
    ViewChange,
)
from outvote.types import Digest, Position, Seal, View


class Accepted(Record, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=1):
    """In this view this position holds this batch, and I say so to others: before PRE-PREPARE and PREPARE."""

    view: View
    position: Position
    digest: Digest
    batch: Batch
    seal: Seal  # the primary's; empty in the primary's own log, which makes it anew


class Prepared(Record, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=2):
    """I hold this certificate and will show it in a view change: before COMMIT."""

    certificate: PreparedCertificate


class Left(Record, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=3):
    """I take part in no view below this one any more: before VIEW-CHANGE."""

    message: ViewChange


class Entered(Record, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=4):
    """I take part in this view, bound by what its NEW-VIEW proposes: before any vote in it."""

    message: NewView
    seal: Seal


class Committed(Note, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=5):
    """This was decided. Losing it costs a question to the others."""

    decision: Decision


class Certified(Note, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=6):
    """A quorum certified this checkpoint."""

    certificate: CheckpointCertificate


class Body(Record, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=7):
    """A batch that a certificate or a decision of mine stands for, and that this view did not propose to me."""

    position: Position
    batch: Batch


class Announced(Record, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=8):
    """As primary of a view I announce exactly this: before NEW-VIEW."""

    message: NewView


RECORDS: Final = (Accepted, Prepared, Left, Entered, Committed, Certified, Body, Announced)


def certificates(record: Record, committee: Committee) -> list[tuple[list[Claim], int]]:
    """What a record relies on: lists of claims, each with the number of different signers that it needs."""
    quorum = committee.quorum
    if isinstance(record, Prepared):
        return [(record.certificate.claims(), quorum)]
    if isinstance(record, Committed):
        decision = record.decision
        said: Struct = Commit(decision.view, decision.position, decision.digest)
        if decision.told:
            said = DecidedStatement(decision.position, decision.digest)
        return [([Claim(voter, said, b"") for voter in decision.voters], committee.weak if decision.told else quorum)]
    if isinstance(record, Certified):
        return [(record.certificate.claims(), quorum)]
    if isinstance(record, Entered | Announced):
        found = [
            ([Claim(one.sender, one.message, one.seal) for one in record.message.view_changes], quorum)
        ]
        for one in record.message.view_changes:
            found += [(certificate.claims(), quorum) for certificate in one.message.prepared]
            if one.message.stable.position:
                found.append((one.message.stable.claims(), quorum))
        return found
    return []


MARKS: Final = ("views entered", "prepared certificates carried over", "null batches proposed")


def marks(record: Record) -> tuple[str, ...]:
    """Which of MARKS this record is a sign of: what a batch of simulated runs must not have missed."""
    if not isinstance(record, Entered):
        return ()
    digests = [digest for _, digest in record.message.proposals]
    carried = (MARKS[1],) if any(digest != NULL_DIGEST for digest in digests) else ()
    return MARKS[0], *carried, *((MARKS[2],) if NULL_DIGEST in digests else ())
