"""The facts that a restart needs: everything said in epochs that are not forgotten, outputs, the last certificate.

What others said is not recorded: they say it again when they are asked. Tags are part of the log's format.
"""

from __future__ import annotations

from typing import Final

from outvote.broadcast.key_generation import Agreed
from outvote.core.committee import Committee
from outvote.core.contract import Claim, Note, Record
from outvote.protocols.honeybadger.foundation import Foundation
from outvote.protocols.honeybadger.membership import Members
from outvote.protocols.honeybadger.messages import Agreeing, Batch, Broadcasting, Certificate, Decrypting, Handing
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

    certificate: Certificate


class Wished(Record, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=5):
    """My owner wishes these members, in this era."""

    era: int
    wish: int


class Passed(Record, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=6):
    """The same as `Said`, within a re-sharing."""

    receiver: ReplicaId
    message: Handing


class Reshared(Record, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=7):
    """What the re-sharing that began there came to: before POSSESSED. My share follows from it and my secret."""

    began: Position
    dealings: tuple[tuple[ReplicaId, bytes], ...]  # by place, ascending
    verdicts: tuple[tuple[ReplicaId, bytes], ...]

    def agreed(self) -> Agreed:
        return Agreed(dict(self.dealings), dict(self.verdicts))


def reshared(began: Position, agreed: Agreed) -> Reshared:
    return Reshared(began, tuple(sorted(agreed.dealings.items())), tuple(sorted(agreed.verdicts.items())))


RECORDS: Final = (Said, Output, Certified, Wished, Passed, Reshared)
RECORDS_WHILE_FOUNDING: Final = (*RECORDS, Foundation)


def certificates(record: Record, committee: Committee) -> list[tuple[list[Claim], int]]:
    """What a record relies on: lists of claims, each with the number of different signers that it needs."""
    if not isinstance(record, Certified):
        return []
    roster = record.certificate.roster
    quorum = committee.quorum if roster is None else Members(roster.era).committee.quorum
    return [(record.certificate.claims(), quorum)]


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
