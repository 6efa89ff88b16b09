"""Configurations in the log: section 6 of the paper (joint consensus), with the correction of July 2015.

A configuration counts from the moment it is written, committed or not, and no longer once it is truncated. A leader
begins a change only when an entry of its own term is committed: else a configuration of an earlier term, that is not,
could share no majority with this one. One change at a time; the second half, leaving the joint configuration, follows
by itself from whoever leads when the first is committed.
"""

from __future__ import annotations

from collections.abc import Sequence

from outvote.protocols.raft import election, replication
from outvote.protocols.raft.members import Members
from outvote.protocols.raft.messages import Entry
from outvote.protocols.raft.records import NOBODY
from outvote.protocols.raft.state import State
from outvote.types import Position, ReplicaId


def written(state: State, first: Position, entries: Sequence[Entry]) -> None:
    """The log holds these from `first` on, and nothing behind them."""
    if state.members_at >= first or any(entry.members is not None for entry in entries):
        look(state)


def look(state: State) -> None:
    """Find the newest configuration: in the log, or the one that it begins with."""
    state.members, state.members_at = state.base_members, state.log.base
    for index in range(state.log.last, state.log.base, -1):
        members = state.log.at(index).members
        if members is not None:
            state.members, state.members_at = members, index
            break
    state.members_before = at(state, state.members_at - 1)
    if not state.leads:
        election.wait(state)


def at(state: State, position: Position) -> Members:
    """The configuration as of a position that the log still holds."""
    for index in range(position, state.log.base, -1):
        members = state.log.at(index).members
        if members is not None:
            return members
    return state.base_members


def change(state: State, voters: Sequence[ReplicaId]) -> str:
    """Begin a change to these voters. Returns why not, or nothing."""
    wanted = tuple(sorted(set(voters)))
    if not wanted or not all(map(state.committee.holds, wanted)):
        return f"voters must be replicas from 0 to {state.committee.n - 1}"
    if not state.leads:
        return "only the leader changes the configuration"
    if state.commit < state.term_start:
        return "no entry of this term is committed yet"
    if state.members.joint or state.members_at > state.commit:
        return "another change is under way"
    if state.config.witnesses and state.config.too_many_witnesses(wanted):
        return "more than half of the voters must keep data, so fewer of them may be witnesses"
    if wanted == state.members.voters:
        return "these are the voters"
    append(state, Members(wanted, state.members.voters))
    return ""


def append(state: State, members: Members) -> None:
    replication.append(state, (), Entry(state.term, state.wall, (), members))


def committed(state: State) -> None:
    """The leader has committed something: perhaps the first half of a change, or the second."""
    if not state.leads or state.members_at > state.commit or state.commit < state.term_start:
        return
    if state.members.joint:
        append(state, Members(state.members.voters))
    elif not state.members.votes(state.me):
        election.follow(state, NOBODY)  # it led the cluster to a configuration without itself (section 6)
