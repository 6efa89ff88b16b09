"""From the disk and back: a replica returns bound by its term, its vote and its log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from outvote.core.contract import Lost, Record
from outvote.errors import Rot
from outvote.protocols.raft import membership, repair
from outvote.protocols.raft.members import Members
from outvote.protocols.raft.messages import Entry
from outvote.protocols.raft.records import Asking, Compacted, Identified, Repaired, Voted, Wrote
from outvote.protocols.raft.state import State
from outvote.types import Digest, Position

UNTOLD: Final = (
    "records of its log are lost, and nothing behind them tells what they were: it may have voted or acknowledged; "
    "give it an empty directory only while it and all other faulty replicas together are fewer than half"
)


def restore(state: State, position: Position, digest: Digest, records: Sequence[Record]) -> None:
    """Raises Rot if records are lost and what is left does not tell what they were."""
    compacted = [record for record in records if isinstance(record, Compacted)]
    lost = False  # and what it was is not told as yet
    held: dict[tuple[Position, int], Entry] = {}  # read meanwhile: its place in the log is told later
    for record in records:
        if isinstance(record, Lost):
            lost = True
        elif not lost:
            _apply(state, record)
        elif isinstance(record, Identified):
            if not repair.tell(state, record):
                break
            lost = False
            for (index, term), entry in held.items():
                _put_back(state, index, term, entry)
            held = {}
        elif isinstance(record, Compacted):
            _apply(state, record)
        elif isinstance(record, Wrote):
            held.update({(index, one.term): one for index, one in enumerate(record.entries, record.after + 1)})
        elif isinstance(record, Repaired):
            held[record.position, record.entry.term] = record.entry
    if lost:
        raise Rot(f"replica {state.me}: {UNTOLD}")
    _begin(state, position, digest, compacted)


def _apply(state: State, record: Record) -> None:
    log = state.log
    if isinstance(record, Voted):
        if record.term >= state.term:
            state.term, state.voted = record.term, record.candidate
    elif isinstance(record, Compacted):
        if record.position >= log.base and log.term(record.position) != record.term:
            log.begin(record.position, record.term)
    elif isinstance(record, Wrote):
        log.write(record.after, record.entries)
    elif isinstance(record, Asking):
        state.incarnation = max(state.incarnation, record.incarnation)
    elif isinstance(record, Repaired):
        _put_back(state, record.position, record.entry.term, record.entry)


def _put_back(state: State, index: Position, term: int, entry: Entry) -> None:
    """One index and one term mean one entry."""
    log = state.log
    if index > log.base and log.term(index) == term and not log.at(index).whole:
        log.entries[index - log.base - 1] = entry


def _begin(state: State, position: Position, digest: Digest, compacted: Sequence[Compacted]) -> None:
    log = state.log
    state.delivered = state.commit = position
    if position and log.base < position:
        # The state stands for what the log still holds before it.
        _begin_at(state, position, compacted)
    else:
        state.base_members = _members_at(state, log.base, compacted)
        state.commit = max(position, log.base)
    if not state.keeps_data:
        state.delivered = position = state.commit
    membership.look(state)
    repair.look(state)
    state.stable, state.stable_digest = position, digest
    state.told_stable = max([position, *(record.position for record in compacted)])
    state.stable_term = max(0, log.term(position))
    state.stable_members = state.base_members


def _begin_at(state: State, position: Position, compacted: Sequence[Compacted]) -> None:
    log = state.log
    membership.look(state)
    members = membership.at(state, min(position, log.last))
    for record in compacted:
        if record.position == position:
            members = record.members
    if log.last < position:  # its record says which term; there is one in every log that begins behind a state
        terms = [record.term for record in compacted if record.position == position]
        log.begin(position, terms[-1] if terms else 0)
    else:
        log.compact(position)
    state.base_members = members


def _members_at(state: State, base: Position, compacted: Sequence[Compacted]) -> Members:
    for record in reversed(compacted):
        if record.position == base:
            return record.members
    return state.base_members


def summary(state: State) -> list[Record]:
    """Term and vote, where the log begins, and what it holds behind the last snapshot."""
    records: list[Record] = []
    if state.term:
        records.append(Voted(state.term, state.voted))
    if state.incarnation:
        records.append(Asking(state.incarnation))
    base = max(state.stable, state.log.base)
    term = state.stable_term if base == state.stable else state.log.base_term
    if base:
        members = state.stable_members if base == state.stable else state.base_members
        records.append(Compacted(base, term, members))
    if state.log.last > base:
        entries = tuple(state.log.entries[base - state.log.base :])
        records += [Wrote(base + start, entries[start : start + 64]) for start in range(0, len(entries), 64)]
    if state.config.repair and records:
        # Where the log begins stands here twice: nothing else could tell it.
        records += [one for one in records if isinstance(one, Compacted)]
        records.append(repair.identified(state, (base, term)))
    return records
