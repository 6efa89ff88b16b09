"""The facts that a restart needs: term and vote, the log, and where it begins. Tags are part of the log's format."""

from __future__ import annotations

from typing import Final

from outvote.core.contract import Record
from outvote.protocols.raft.members import Members
from outvote.protocols.raft.messages import Entry
from outvote.types import Position, ReplicaId

NOBODY: Final = -1


class Voted(Record, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=1):
    """The current term, and whom my vote in it went to: before anything is said in it."""

    term: int
    candidate: ReplicaId  # NOBODY: I have not voted in it


class Wrote(Record, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=2):
    """Behind `after` the log holds these and nothing else: before they are acknowledged."""

    after: Position
    entries: tuple[Entry, ...]


class Compacted(Record, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=3):
    """The log begins behind this position: a state stands for all that came before. If it holds another entry there,
    what it holds is void."""

    position: Position
    term: int
    members: Members  # as of this position


class Asking(Record, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=4):
    """The first half of the contexts of my read queries from now on; counted up after each restart."""

    incarnation: int


class Identified(Record, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=5):
    """The identifiers of the newest entries, apart from them: so that it is known what is lost when an entry cannot be
    read. And what the log says besides, as of now: a vote must not be forgotten either."""

    term: int
    candidate: ReplicaId
    incarnation: int
    base: Position
    base_term: int
    first: Position  # of the entries that are named
    before: int  # the term of what lies before them; so all before them is told too, by the log matching property
    terms: tuple[int, ...]  # up to the end of the log
    members: tuple[tuple[Position, Members], ...]  # where entries among them change these


class Repaired(Record, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=6):
    """This entry was damaged, and here it is."""

    position: Position
    entry: Entry


RECORDS: Final = (Voted, Wrote, Compacted, Asking, Identified, Repaired)
MARKS: Final = ("terms entered", "logs begun by a state", "entries repaired")
# Those that a batch of runs must have been through, and damage that a replica came up with.
DEMANDED: Final = (*MARKS[:2], "disk: rot passed by")


def marks(record: Record) -> tuple[str, ...]:
    """Which of MARKS this record is a sign of: what a batch of simulated runs must not have missed."""
    if isinstance(record, Voted):
        return (MARKS[0],)
    if isinstance(record, Repaired):
        return (MARKS[2],)
    return (MARKS[1],) if isinstance(record, Compacted) else ()
