"""Protocol-aware recovery: Alagappan et al., *Protocol-Aware Recovery for Consensus-Based Storage*, FAST 2018.

A damaged entry whose identifier is known, term and index, is a faulty slot, not the end of the log. Its replica stays
up, votes and may be elected, since the identifiers tell how far its log goes; it acknowledges, sends and executes
nothing from the first faulty slot on, and asks everybody.

Kept: nothing that may be committed is cut off. Any replica's copy will do, as term and index name one content. Only a
leader discards a faulty entry, before it has begun its term, and only when a majority says in that term that it does
not have it: then no majority ever had. If neither comes it waits.
"""

from __future__ import annotations

from typing import Final

from outvote.core.contract import ALL
from outvote.protocols.raft import election, membership, replication
from outvote.protocols.raft.log import size_of
from outvote.protocols.raft.messages import (
    DONT_HAVE,
    HAVE,
    HAVE_FAULTY,
    IN_A_STATE,
    Answer,
    AnswerEntries,
    Entry,
    QueryEntries,
)
from outvote.protocols.raft.records import NOBODY, Identified, Repaired, Wrote
from outvote.protocols.raft.state import Slot, State
from outvote.types import NEVER, Position, ReplicaId

WANTED_MAX: Final = 64  # asked for at a time
NAMED_BEFORE: Final = 16  # entries that are named once more: damage to so many of the last ones is told by the next
PATIENCE: Final = 8  # rounds of questions, a heartbeat each; then a state will do


# ---------------------------------------------------------------------- identifiers


def touched(state: State, first: Position) -> None:
    """The log was written from there on."""
    state.repair.unidentified = first if state.repair.unidentified is None else min(first, state.repair.unidentified)


def identify(state: State) -> None:
    """Behind what was recorded: what it was, for the day when it cannot be read."""
    records = state.out.records
    if state.config.repair and records and not isinstance(records[-1], Identified):
        records.append(identified(state))
        state.repair.unidentified = None


def identified(state: State, begins: tuple[Position, int] | None = None) -> Identified:
    """The newest entries' identifiers; or those of all entries, of a log that begins behind this position and term."""
    log = state.log
    first = log.last - NAMED_BEFORE + 1
    if state.repair.unidentified is not None:
        first = min(first, state.repair.unidentified)
    base, base_term = (log.base, log.base_term) if begins is None else begins
    first = max(first, base + 1) if begins is None else base + 1
    entries = log.entries[first - log.base - 1 :]
    members = tuple([(first + at, one.members) for at, one in enumerate(entries) if one.members is not None])
    return Identified(
        state.term, state.voted, state.incarnation, base, base_term, first,
        base_term if first == base + 1 else log.term(first - 1),
        tuple([one.term for one in entries]), members,
    )


def tell(state: State, record: Identified) -> bool:
    """Records before this one may be lost: make the log what this says, with faulty slots where nothing is left. False
    if it does not reach back far enough."""
    log = state.log
    state.term, state.voted = record.term, record.candidate
    state.incarnation = max(state.incarnation, record.incarnation)
    if log.base < record.base and log.term(record.base) != record.base_term:
        return False  # where the log begins is lost, and which state stands there
    named = {record.first - 1: record.before, **dict(enumerate(record.terms, record.first))}
    begin = max(record.first - 1, log.base)
    if begin not in named or log.term(begin) != named[begin]:
        return False
    changes = dict(record.members)
    for index in range(begin + 1, record.first + len(record.terms)):
        if log.term(index) != named[index]:
            log.write(index - 1, (Entry(named[index], 0, (), changes.get(index), False),))
    log.write(record.first + len(record.terms) - 1, ())
    return True


# ---------------------------------------------------------------------- asking


def look(state: State) -> None:
    """Which slots are faulty by now."""
    if not state.keeps_data:
        return
    log, known = state.log, state.repair.faulty
    state.repair.faulty = {
        index: known.get(index) or Slot() for index, entry in enumerate(log.entries, log.base + 1) if not entry.whole
    }
    if state.repair.state_of and not any(index <= state.repair.state_of for index in state.repair.faulty):
        state.repair.state_of = 0
    if state.repair.faulty:
        if state.timers.deadline("repair") == NEVER:
            state.timers.set("repair", state.now)
    else:
        state.timers.cancel("repair")


def ask(state: State) -> None:
    """Again and again, until the log is whole."""
    log = state.log
    for index, slot in state.repair.faulty.items():
        slot.asked += 1
        if slot.compacted and slot.asked >= PATIENCE:
            state.repair.state_of = max(state.repair.state_of, index)
    if state.repair.state_of and state.leads:
        election.follow(state, NOBODY)  # whoever leads then gives it a state
    wanted = tuple([(index, log.term(index)) for index in state.repair.faulty][:WANTED_MAX])
    if wanted:
        state.out.hints.append((ALL, QueryEntries(state.term, wanted)))
        state.timers.set("repair", state.now + state.config.heartbeat_ns)


def on_query(state: State, sender: ReplicaId, message: QueryEntries) -> None:
    """Have, have it faulty, or don't have it; the last counts only in the term in which it is said."""
    log = state.log
    answers: list[Answer] = []
    size = 0
    for position, term in message.wanted[:WANTED_MAX]:
        if position <= log.base:
            answers.append(Answer(position, term, IN_A_STATE))
        elif log.term(position) != term:
            answers.append(Answer(position, term, DONT_HAVE))
        elif not log.at(position).whole:
            answers.append(Answer(position, term, HAVE_FAULTY))
        else:
            entry = log.at(position)
            size += size_of(entry)
            if size > state.config.batch_bytes_max and any(one.what == HAVE for one in answers):
                break
            answers.append(Answer(position, term, HAVE, entry))
    state.out.hints.append((sender, AnswerEntries(state.term, tuple(answers))))


def on_answer(state: State, sender: ReplicaId, message: AnswerEntries) -> None:
    for answer in message.answers:
        slot, entry = state.repair.faulty.get(answer.position), answer.entry
        if slot is None or state.log.term(answer.position) != answer.term:
            continue
        if answer.what == HAVE and entry is not None and entry.whole and entry.term == answer.term:
            fill(state, answer.position, entry)
        elif answer.what == IN_A_STATE:
            slot.compacted = True
        elif answer.what == DONT_HAVE and state.repair.pending and message.term == state.term:
            slot.dont_have[sender] = None
            if never_committed(state, answer.position, slot):
                discard(state, answer.position)
    begin_when_whole(state)


def fill(state: State, position: Position, entry: Entry) -> None:
    """The slot is whole again; what waited for it goes on."""
    state.log.entries[position - state.log.base - 1] = entry
    state.out.records.append(Repaired(position, entry))
    touched(state, position)
    look(state)
    replication.deliver(state)


def never_committed(state: State, position: Position, slot: Slot) -> bool:
    """A majority does not have it: of those who vote now, and of those who voted when it was written."""
    then = membership.at(state, position - 1)
    return state.members.agree(slot.dont_have) and then.agree(slot.dont_have)


def discard(state: State, position: Position) -> None:
    """This entry, and so all behind it."""
    state.out.records.append(Wrote(position - 1, ()))
    state.log.write(position - 1, ())
    membership.written(state, position, ())
    touched(state, position)
    look(state)


def begin_when_whole(state: State) -> None:
    """A leader that had to repair its log first begins its term."""
    if state.repair.pending and not state.repair.faulty:
        replication.begin_term(state)
