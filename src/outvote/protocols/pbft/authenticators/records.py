"""The facts that a restart needs in the form without signatures, where they differ.

Tags are part of the log's format.
"""

from __future__ import annotations

from typing import Final

from outvote.core.committee import Committee
from outvote.core.contract import Claim, Record
from outvote.protocols.pbft import records as signed_records
from outvote.protocols.pbft.authenticators.messages import NewView, StableWord, ViewChange
from outvote.protocols.pbft.messages import NULL_DIGEST
from outvote.protocols.pbft.records import Accepted, Body, Certified, Committed, Prepared
from outvote.types import Digest, Position, View


class Left(Record, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=23):
    """I take part in no view below this one any more: before VIEW-CHANGE."""

    message: ViewChange


class Entered(Record, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=24):
    """I take part in this view, bound by what its NEW-VIEW proposes: before any vote in it."""

    message: NewView


class PrePrepared(Record, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=25):
    """What Q holds of a position. While a log grows, ACCEPTED says the same; a summary says it at once."""

    position: Position
    digests: tuple[tuple[Digest, View], ...]


class Announced(Record, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=26):
    """As primary of a view I announce exactly this: before NEW-VIEW."""

    message: NewView


RECORDS: Final = (Accepted, Prepared, Left, Entered, PrePrepared, Committed, Certified, Body, Announced)


def certificates(record: Record, committee: Committee) -> list[tuple[list[Claim], int]]:
    """What a record relies on. A checkpoint is certified by a quorum's CHECKPOINTs, or f + 1 replicas' word that they
    had those; the number of entries tells which."""
    if isinstance(record, Certified) and len(record.certificate.seals) < committee.quorum:
        certificate = record.certificate
        word = StableWord(certificate.position, certificate.digest)
        return [([Claim(voter, word, b"") for voter, _ in certificate.seals], committee.weak)]
    return signed_records.certificates(record, committee)


def marks(record: Record) -> tuple[str, ...]:
    """Which of the marks of records.py this record is a sign of."""
    if not isinstance(record, Entered):
        return ()
    digests = [digest for _, digest in record.message.proposals]
    entered, carried, null = signed_records.MARKS
    found = [entered]
    if any(digest != NULL_DIGEST for digest in digests):
        found.append(carried)
    if NULL_DIGEST in digests:
        found.append(null)
    return tuple(found)
