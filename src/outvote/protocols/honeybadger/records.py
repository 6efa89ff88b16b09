"""The facts that a restart needs: everything said in epochs that are not forgotten, outputs, the last certificate.

What others said is not recorded: they say it again when they are asked. Tags are part of the log's format.
"""

from __future__ import annotations

from typing import Final

from outvote.core.checkpoints import CheckpointCertificate
from outvote.core.committee import Committee
from outvote.core.contract import Claim, Note, Record
from outvote.protocols.honeybadger.foundation import Foundation
from outvote.protocols.honeybadger.messages import Agreeing, Batch, Broadcasting, Decrypting
from outvote.types import Position, ReplicaId


class Said(Record, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=1):
    """I say this: before it leaves. After a restart nothing is said that contradicts it, and it is said again."""

    receiver: ReplicaId
    message: Broadcasting | Agreeing | Decrypting


class Output(Note, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=2):
    """The output of this epoch. Losing it costs questions to the others."""

    epoch: Position
    batch: Batch


class Certified(Note, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=3):
    """A quorum certified this checkpoint."""

    certificate: CheckpointCertificate


RECORDS: Final = (Said, Output, Certified)
RECORDS_WHILE_FOUNDING: Final = (*RECORDS, Foundation)


def certificates(record: Record, committee: Committee) -> list[tuple[list[Claim], int]]:
    """What a record relies on: lists of claims, each with the number of different signers that it needs."""
    return [(record.certificate.claims(), committee.quorum)] if isinstance(record, Certified) else []


def certificates_while_founding(record: Record, committee: Committee) -> list[tuple[list[Claim], int]]:
    """The same where the replicas make their own keys."""
    if isinstance(record, Foundation):
        claims = list(record.transcript.claims())
        return [(claims, committee.n - committee.faults)] if claims else []
    return certificates(record, committee)


MARKS: Final = ("second rounds of agreement", "proposals left out", "proposals opened")


def marks(record: Record) -> tuple[str, ...]:
    """Which of MARKS this record is a sign of."""
    if not isinstance(record, Said):
        return ()
    message = record.message
    if isinstance(message, Decrypting):
        return (MARKS[2],)
    number, bit = getattr(message.body, "number", 0), getattr(message.body, "bit", True)
    return (*((MARKS[0],) if number else ()), *(() if bit else (MARKS[1],)))
