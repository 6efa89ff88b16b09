"""Rules of Raft turned off, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import pytest

from outvote.core.contract import Lost, Message, Record
from outvote.host.turn import Turn
from outvote.protocols.raft import election, membership, reads, repair, replication, snapshots
from outvote.protocols.raft import replica as raft_replica
from outvote.protocols.raft import restore as restoring
from outvote.protocols.raft.log import Log
from outvote.protocols.raft.members import Members
from outvote.protocols.raft.messages import (
    Appended,
    AppendEntries,
    Entry,
    Heartbeat,
    PreVote,
    PreVoted,
    RequestVote,
    TimeoutNow,
    Vote,
)
from outvote.protocols.raft.records import NOBODY, Compacted, Voted, Wrote
from outvote.protocols.raft.state import State
from outvote.types import Digest, Position, ReplicaId


def handle(patch: pytest.MonkeyPatch, kind: type[Message], handler: Callable[[State, ReplicaId, Any], None]) -> None:
    patch.setitem(raft_replica.HANDLERS, kind, handler)


def commit_of_an_older_term_by_counting(patch: pytest.MonkeyPatch) -> None:
    """Figure 8 of the paper."""

    def advance(state: State) -> None:
        matched = {replica: peer.match for replica, peer in state.peers.items()}
        matched[state.me] = state.flushed
        reached = state.members.reached(matched)
        if reached > state.commit:
            replication.commit_to(state, reached)
            membership.committed(state)

    patch.setattr(replication, "advance_commit", advance)


def vote_without_a_look_at_the_log(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Log, "newer_than", lambda _log, _last, _term: False)


def vote_for_the_longer_log(patch: pytest.MonkeyPatch) -> None:
    """Compares lengths and not terms."""
    patch.setattr(Log, "newer_than", lambda log, last, _term: log.last > last)


def second_vote_in_a_term(patch: pytest.MonkeyPatch) -> None:
    original = election.on_request_vote

    def on_request_vote(state: State, sender: ReplicaId, message: RequestVote) -> None:
        if message.term == state.term and state.role == "follower":
            state.voted = NOBODY
        original(state, sender, message)

    handle(patch, RequestVote, on_request_vote)


def vote_not_recorded(patch: pytest.MonkeyPatch) -> None:
    original = Turn._drain

    def drain(turn: Turn) -> None:
        out = turn.core.out
        out.records[:] = [
            Voted(one.term, NOBODY) if isinstance(one, Voted) else one for one in out.records
        ]
        original(turn)

    patch.setattr(Turn, "_drain", drain)


def term_not_in_the_summary(patch: pytest.MonkeyPatch) -> None:
    """The log begins anew, and term and vote are forgotten."""
    original = restoring.summary
    patch.setattr(
        restoring, "summary", lambda state: [one for one in original(state) if not isinstance(one, Voted)]
    )


def entries_not_in_the_summary(patch: pytest.MonkeyPatch) -> None:
    original = restoring.summary
    patch.setattr(
        restoring, "summary", lambda state: [one for one in original(state) if not isinstance(one, Wrote)]
    )


def majority_of_one_less(patch: pytest.MonkeyPatch) -> None:
    """To commit."""

    def reached(members: Members, matched: Mapping[ReplicaId, Position]) -> Position:
        positions = sorted((matched.get(voter, 0) for voter in members.voters), reverse=True)
        return positions[max(0, len(positions) // 2 - 1)]

    patch.setattr(Members, "reached", reached)


def elected_by_one_less(patch: pytest.MonkeyPatch) -> None:
    def agree(members: Members, said: Collection[ReplicaId]) -> bool:
        return sum(1 for voter in members.voters if voter in said) >= len(members.voters) // 2

    original = election.on_vote

    def on_vote(state: State, sender: ReplicaId, message: Vote) -> None:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Members, "agree", agree)
            original(state, sender, message)

    handle(patch, Vote, on_vote)


def stale_vote_counted(patch: pytest.MonkeyPatch) -> None:
    """A vote of an earlier term."""

    def on_vote(state: State, sender: ReplicaId, message: Vote) -> None:
        if state.role == "candidate" and message.candidate == state.me:
            state.votes[sender] = None
            if state.members.agree(state.votes):
                replication.lead(state)

    handle(patch, Vote, on_vote)


def previous_term_not_compared(patch: pytest.MonkeyPatch) -> None:
    original = replication.on_append_entries

    def on_append_entries(state: State, sender: ReplicaId, message: AppendEntries) -> None:
        term = state.log.term(message.previous)
        if term >= 0:
            message = AppendEntries(message.term, message.previous, term, message.entries, message.commit)
        original(state, sender, message)

    handle(patch, AppendEntries, on_append_entries)


def truncates_without_conflict(patch: pytest.MonkeyPatch) -> None:
    """An old message, that comes late, cuts off what came since."""
    original = replication.on_append_entries

    def on_append_entries(state: State, sender: ReplicaId, message: AppendEntries) -> None:
        end = message.previous + len(message.entries)
        fits = state.log.term(message.previous) == message.previous_term and message.previous >= state.log.base
        if message.term == state.term and fits and state.log.base < end < state.log.last:
            state.out.records.append(Wrote(end, ()))
            del state.log.entries[end - state.log.base :]
            state.verified = min(state.verified, end)
            state.commit = min(state.commit, max(end, state.delivered))
        original(state, sender, message)

    handle(patch, AppendEntries, on_append_entries)


def acknowledged_before_it_is_durable(patch: pytest.MonkeyPatch) -> None:
    original = replication.on_append_entries

    def on_append_entries(state: State, sender: ReplicaId, message: AppendEntries) -> None:
        original(state, sender, message)
        hurried = [one for one in state.out.messages if isinstance(one[1], Appended)]
        state.out.messages[:] = [one for one in state.out.messages if not isinstance(one[1], Appended)]
        state.out.hints += hurried  # type: ignore[arg-type]

    handle(patch, AppendEntries, on_append_entries)


def acknowledges_its_whole_log(patch: pytest.MonkeyPatch) -> None:
    """Not only as far as the leader has compared it."""
    original = replication.on_append_entries

    def on_append_entries(state: State, sender: ReplicaId, message: AppendEntries) -> None:
        original(state, sender, message)
        state.out.messages[:] = [
            (to, Appended(one.term, state.log.last) if isinstance(one, Appended) else one)
            for to, one in state.out.messages
        ]

    handle(patch, AppendEntries, on_append_entries)


def commits_beyond_what_was_compared(patch: pytest.MonkeyPatch) -> None:
    """The leader's commit index, and not the last entry that is known to be as the leader's."""

    def on_heartbeat(state: State, sender: ReplicaId, message: Heartbeat) -> None:
        state.verified = state.log.last
        replication.on_heartbeat(state, sender, message)

    handle(patch, Heartbeat, on_heartbeat)


def leader_counts_what_is_not_durable(patch: pytest.MonkeyPatch) -> None:
    original = replication.append

    def append(state: State, requests: tuple[object, ...], entry: Entry | None = None) -> None:
        original(state, requests, entry)  # type: ignore[arg-type]
        state.flushed = state.log.last

    patch.setattr(replication, "append", append)


def snapshot_before_it_is_durable(patch: pytest.MonkeyPatch) -> None:
    """A fetched state is acknowledged at once."""
    original = snapshots.transferred

    def transferred(state: State, position: Position, digest: Digest) -> None:
        original(state, position, digest)
        if state.leader not in (NOBODY, state.me):
            state.out.hints.append((state.leader, Appended(state.term, position)))  # type: ignore[arg-type]

    patch.setattr(snapshots, "transferred", transferred)


def snapshot_without_its_term(patch: pytest.MonkeyPatch) -> None:
    original = snapshots.transferred

    def transferred(state: State, position: Position, digest: Digest) -> None:
        original(state, position, digest)
        if state.log.base == position:
            state.log.base_term = 0

    patch.setattr(snapshots, "transferred", transferred)


def refusal_of_a_pre_vote_without_its_term(patch: pytest.MonkeyPatch) -> None:
    """What etcd once had: a replica that is behind asks for ever."""
    original = election.on_pre_vote

    def on_pre_vote(state: State, sender: ReplicaId, message: PreVote) -> None:
        original(state, sender, message)
        state.out.hints[:] = [
            (to, PreVoted(0, one.asked, one.granted) if isinstance(one, PreVoted) else one)
            for to, one in state.out.hints
        ]

    handle(patch, PreVote, on_pre_vote)


def read_before_the_term_has_begun(patch: pytest.MonkeyPatch) -> None:
    """Section 6.4: before an entry of its own term is committed a leader does not know what others committed."""
    patch.setattr(reads, "index", lambda state: state.commit)


def read_confirmed_by_an_earlier_round(patch: pytest.MonkeyPatch) -> None:
    """Whatever heartbeat was answered last will do."""
    original = reads.attempt

    def attempt(state: State) -> None:
        original(state)
        if state.read_round:
            state.read_round = max(1, state.round)

    patch.setattr(reads, "attempt", attempt)


def read_without_confirmation(patch: pytest.MonkeyPatch) -> None:
    def attempt(state: State) -> None:
        if state.leads:
            reads.confirmed(state, state.tickets, reads.index(state), state.now)

    patch.setattr(reads, "attempt", attempt)


def age_counted_from_the_answer(patch: pytest.MonkeyPatch) -> None:
    """And not from when it was asked: what came meanwhile is not in it."""
    original = reads.confirmed

    def confirmed(state: State, tickets: int, position: Position, _asked_at: int) -> None:
        original(state, tickets, position, state.now)

    patch.setattr(reads, "confirmed", confirmed)


def context_used_again(patch: pytest.MonkeyPatch) -> None:
    """What etcd had until 2026: a retry asks under the context of the attempt before."""
    patch.setattr(reads, "next_context", lambda _state: 1)


def lease_as_long_as_it_leads(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        reads, "holds_lease",
        lambda state: bool(state.config.lease and state.leads and state.commit >= state.term_start),
    )


def lease_kept_while_handing_over(patch: pytest.MonkeyPatch) -> None:
    """The successor is elected without waiting for the lease to end."""
    patch.setattr(
        reads, "holds_lease",
        lambda state: bool(
            state.config.lease and state.leads and state.commit >= state.term_start
            and state.now < getattr(state, "held_until", state.lease_until)
        ),
    )
    original = replication.hand_over

    def hand_over(state: State, successor: ReplicaId) -> str:
        state.held_until = state.lease_until  # type: ignore[attr-defined]
        return original(state, successor)

    patch.setattr(replication, "hand_over", hand_over)


def handing_over_waits_for_pre_votes(patch: pytest.MonkeyPatch) -> None:
    """The others hear the leader still, and refuse."""

    def on_timeout_now(state: State, _sender: ReplicaId, message: TimeoutNow) -> None:
        if message.term == state.term and not state.leads:
            election.timed_out(state)

    handle(patch, TimeoutNow, on_timeout_now)


def change_before_the_term_has_begun(patch: pytest.MonkeyPatch) -> None:
    """Ongaro's correction of July 2015, and joint consensus with it: one server more or less, at once."""

    def change(state: State, voters: Sequence[ReplicaId]) -> str:
        membership.append(state, Members(tuple(sorted(voters))))
        return ""

    patch.setattr(membership, "change", change)


def learner_counted(patch: pytest.MonkeyPatch) -> None:
    def reached(members: Members, matched: Mapping[ReplicaId, Position]) -> Position:
        positions = sorted(matched.values(), reverse=True)
        return positions[len(members.voters) // 2]

    patch.setattr(Members, "reached", reached)


def nobody_leads_but_voters(patch: pytest.MonkeyPatch) -> None:
    """Also while the entry that takes somebody's vote is not certain, and those who vote then lack it."""
    patch.setattr(State, "may_lead", property(lambda state: state.keeps_data and state.members.votes(state.me)))


def witness_leads(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(State, "may_lead", property(lambda state: state.members.votes(state.me)))


def witness_told_at_once(patch: pytest.MonkeyPatch) -> None:
    """It stands in for a replica that keeps data, while that replica is there."""
    patch.setattr(replication, "held_by_data", lambda state: state.log.last)


def witness_forgets_what_it_acknowledged(patch: pytest.MonkeyPatch) -> None:
    """It keeps no data, and no terms either."""
    original = replication.on_append_entries

    def on_append_entries(state: State, sender: ReplicaId, message: AppendEntries) -> None:
        original(state, sender, message)
        if not state.keeps_data:
            state.out.records[:] = [one for one in state.out.records if not isinstance(one, Wrote)]

    handle(patch, AppendEntries, on_append_entries)


def truncates_at_the_damage(patch: pytest.MonkeyPatch) -> None:
    """What many logs do: what cannot be read is where they end."""
    original = restoring.restore

    def restore(state: State, position: Position, digest: Digest, records: Sequence[Record]) -> None:
        lost = next((at for at, one in enumerate(records) if isinstance(one, Lost)), len(records))
        original(state, position, digest, records[:lost])

    patch.setattr(restoring, "restore", restore)


def discards_what_one_does_not_have(patch: pytest.MonkeyPatch) -> None:
    """And not what a majority does not have."""
    patch.setattr(repair, "never_committed", lambda _state, _position, slot: bool(slot.dont_have))


def acknowledges_what_it_cannot_read(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(State, "whole_to", property(lambda state: state.log.last))


def configuration_not_in_the_snapshot(patch: pytest.MonkeyPatch) -> None:
    original = restoring.summary

    def summary(state: State) -> list[Record]:
        everybody = Members(tuple(range(state.committee.n)))
        return [
            Compacted(one.position, one.term, everybody) if isinstance(one, Compacted) else one
            for one in original(state)
        ]

    patch.setattr(restoring, "summary", summary)
