"""The Raft core: dispatch by message type, what is admitted, what the clock wakes.

After every call `settle` appends and sends what can be, and re-arms the timers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final

from outvote.core.committee import Committee
from outvote.core.contract import Core, Message, Record, Request, Standing
from outvote.protocols.raft import election, membership, reads, repair, replication, restore, snapshots
from outvote.protocols.raft.config import RaftConfig
from outvote.protocols.raft.messages import (
    AnswerEntries,
    Appended,
    AppendEntries,
    Flushed,
    Forward,
    Heard,
    Heartbeat,
    InstallSnapshot,
    NeedState,
    PreVote,
    PreVoted,
    QueryEntries,
    ReadAnswer,
    ReadQuery,
    Refused,
    RequestVote,
    TimeoutNow,
    Vote,
)
from outvote.protocols.raft.records import NOBODY
from outvote.protocols.raft.state import State
from outvote.types import NEVER, ClientId, Digest, Position, ReplicaId, Seal, View

# Any: each handler takes its own message type; the table's key guarantees the match.
HANDLERS: Final[dict[type[Message], Callable[[State, ReplicaId, Any], None]]] = {
    RequestVote: election.on_request_vote,
    Vote: election.on_vote,
    PreVote: election.on_pre_vote,
    PreVoted: election.on_pre_voted,
    TimeoutNow: election.on_timeout_now,
    AppendEntries: replication.on_append_entries,
    Appended: replication.on_appended,
    Flushed: replication.on_flushed,
    Refused: replication.on_refused,
    Heartbeat: replication.on_heartbeat,
    Heard: replication.on_heard,
    Forward: replication.on_forward,
    InstallSnapshot: snapshots.on_install_snapshot,
    NeedState: snapshots.on_need_state,
    QueryEntries: repair.on_query,
    AnswerEntries: repair.on_answer,
    ReadQuery: reads.on_read_query,
    ReadAnswer: reads.on_read_answer,
}

TIMERS: Final[dict[str, Callable[[State], None]]] = {
    "election": election.timed_out,
    "heartbeat": replication.beat,
    "announce": replication.beat,
    "quorum": replication.check_quorum,
    "read": reads.asked_in_vain,
    "transfer": replication.give_up_transfer,
    "forward": replication.forward_all,
    "repair": repair.ask,
}


class RaftReplica(Core):
    """One replica of Raft (Ongaro and Ousterhout 2014). Tolerates crashes, and nothing that lies."""

    answers_alone: ClassVar[bool] = True
    mends: ClassVar[bool] = True

    def __init__(self, me: ReplicaId, committee: Committee, config: RaftConfig) -> None:
        super().__init__(me)
        self.state = State(me, committee, config.validated(committee.n), self.out)

    # ------------------------------------------------------------------ the contract

    def restore(self, position: Position, digest: Digest, records: Sequence[Record]) -> None:
        self._begin()
        state = self.state
        restore.restore(state, position, digest, records)
        if position or records:
            state.heard_at = self.now  # perhaps just before the crash; see election.leader_is_live
        election.wait(state)
        if not position and not records and state.me == next(filter(state.config.keeps_data, state.members.voters)):
            state.timers.set("election", self.now)  # a new cluster need not wait for its first leader
        self._settle()

    def summary(self) -> list[Record]:
        return restore.summary(self.state)

    def submit(self, requests: Sequence[Request]) -> None:
        self._begin()
        state = self.state
        for request in requests:
            if not state.keeps_data:
                if state.leader != NOBODY:
                    self.out.hints.append((state.leader, Forward(request)))
            elif state.pool.add(request) and state.leader not in (NOBODY, state.me):
                self.out.hints.append((state.leader, Forward(request)))
        self._settle()

    def admits(self, sender: ReplicaId, message: Message) -> bool:
        return type(message) in HANDLERS and self.state.committee.holds(sender)

    def receive(self, sender: ReplicaId, message: Message, seal: Seal) -> None:
        self._begin()
        if self.admits(sender, message):
            HANDLERS[type(message)](self.state, sender, message)
        self._settle()

    def wake(self) -> None:
        self._begin()
        for name in self.state.timers.due(self.now):
            # Another that is due as well may have ended the term.
            if self.state.leads or name not in election.LEADERS_TIMERS:
                TIMERS[name](self.state)
        self._settle()

    def executed(self, position: Position, digest: Digest) -> None:
        self._begin()
        snapshots.executed(self.state, position, digest)
        self._settle()

    def transferred(self, position: Position, digest: Digest) -> None:
        self._begin()
        snapshots.transferred(self.state, position, digest)
        self._settle()

    def waiting(self) -> Sequence[tuple[ClientId, int]]:
        return [request.key for request in self.state.pool.waiting()]

    def forget(self, requests: Sequence[tuple[ClientId, int]]) -> None:
        self.state.pool.forget(requests)

    def ask_to_read(self) -> int:
        self._begin()
        ticket = reads.ask(self.state)
        self._settle()
        return ticket

    def route(self) -> View:
        state = self.state
        return state.term * state.committee.n + state.leader if state.leader != NOBODY else 0

    def standing(self) -> Standing:
        state = self.state
        if state.fetching is not None:
            note = f"fetching the state of position {state.fetching.position}"
        elif state.repair.faulty:
            note = f"repairing {len(state.repair.faulty)} entries of its log"
        elif state.leads:
            note = "leading"
        elif state.leader != NOBODY:
            note = "following"
        else:
            note = f"{state.role} without a leader"
        known = state.leader if state.leader != NOBODY else state.term % state.committee.n
        return Standing(
            state.term, state.leader != NOBODY, known, state.delivered, state.told_stable, len(state.pool), note,
            state.members.voters, tuple(one for one in range(state.committee.n) if not state.config.keeps_data(one)),
            state.members.joint or state.members_at > state.commit,
        )

    # ------------------------------------------------------------------ for operators and tests

    def operate(self, what: str, argument: int) -> str:
        """hand-over: to which replica. change-voters: bit i, replica i shall vote."""
        if what == "hand-over":
            return self.hand_over(argument)
        if what == "change-voters":
            n = self.state.committee.n
            if not 0 < argument < 1 << n:
                return f"voters must be replicas from 0 to {n - 1}"
            return self.change_voters([one for one in range(n) if argument >> one & 1])
        return super().operate(what, argument)

    def hand_over(self, successor: ReplicaId) -> str:
        """Have another voter lead instead. Returns why that cannot be done, or nothing. It takes a round trip and an
        election."""
        self._begin()
        refusal = replication.hand_over(self.state, successor)
        self._settle()
        return refusal

    def change_voters(self, voters: Sequence[ReplicaId]) -> str:
        """Begin a change to these voters, in two steps. Returns why that cannot be done now, or nothing."""
        self._begin()
        refusal = membership.change(self.state, voters)
        self._settle()
        return refusal

    # ------------------------------------------------------------------

    def _begin(self) -> None:
        self.state.now = self.now
        self.state.wall = self.wall

    def _settle(self) -> None:
        state = self.state
        if state.leads:
            replication.try_propose(state)
            replication.send_entries(state)
            if state.beat_due:
                replication.beat(state)
        state.beat_due = False
        if len(state.pool) and not state.leads and state.timers.deadline("forward") == NEVER:
            state.timers.set("forward", self.now + state.config.view_timeout_ns)
        repair.identify(state)
        self.reads_at = reads.readable_from(state)
        self.reads_confirmed = state.tickets_confirmed
        self.known_at = None if state.known_at is None else (state.read_from, state.known_at)
        self.wake_at = state.timers.next()
        state.check_invariants()


OPERATIONS: Final = ("hand-over", "change-voters")  # that `operate` knows
