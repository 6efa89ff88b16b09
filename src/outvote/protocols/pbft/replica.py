"""The PBFT core: dispatch by message type, what is admitted, what the clock wakes.

After every call `settle` proposes what can be proposed and re-arms the timers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from outvote.core.checkpoints import Checkpoint
from outvote.core.committee import Committee
from outvote.core.contract import Core, Message, Record, Request, Standing
from outvote.protocols.pbft import (
    admission,
    catch_up,
    checkpoint,
    large,
    normal,
    performance,
    reads,
    restore,
    view_change,
)
from outvote.protocols.pbft.config import PbftConfig
from outvote.protocols.pbft.form import Form
from outvote.protocols.pbft.messages import (
    BriefPrePrepare,
    Commit,
    Complaint,
    Decided,
    FetchBatch,
    FetchedBatch,
    Forward,
    Prepare,
    PrePrepare,
    QueryReached,
    ReachedReply,
    Status,
)
from outvote.protocols.pbft.signatures import SIGNATURES
from outvote.protocols.pbft.state import State
from outvote.types import NEVER, ClientId, Digest, Position, ReplicaId, Seal

SETTLING_INTERVALS: Final = 25  # 5 s at the default: connections are dialed again at least every 2 s
FORWARDED_AGAIN_MAX: Final = 16  # waiting requests forwarded anew with each STATUS


def on_forward(state: State, _sender: ReplicaId, message: Forward, _seal: Seal) -> None:
    """A backup vouches for nothing: the client's seal has been checked like any request's."""
    if state.leads():
        state.pool.add(message.request)


# Any: each handler takes its own message type; the table's key guarantees the match.
HANDLERS: Final[dict[type[Message], Callable[[State, ReplicaId, Any, Seal], None]]] = {
    PrePrepare: normal.on_pre_prepare,
    BriefPrePrepare: normal.on_brief_pre_prepare,
    Prepare: normal.on_prepare,
    Commit: normal.on_commit,
    Checkpoint: checkpoint.on_checkpoint,
    Forward: on_forward,
    Status: catch_up.on_status,
    Decided: catch_up.on_decided,
    FetchBatch: catch_up.on_fetch_batch,
    FetchedBatch: catch_up.on_fetched_batch,
    QueryReached: reads.on_query_reached,
    ReachedReply: reads.on_reached_reply,
    Complaint: performance.on_complaint,
}

VOTES: Final = frozenset((Prepare, Commit))


class PbftReplica(Core):
    """One replica of PBFT (Castro and Liskov 1999), in the form with signatures or in the one without."""

    def __init__(self, me: ReplicaId, committee: Committee, config: PbftConfig, form: Form = SIGNATURES) -> None:
        super().__init__(me)
        self._admitted: tuple[ReplicaId, Message] | None = None  # last, if nothing has happened since
        self.state = State(me, committee, config.validated(committee.n), self.out, form)

    def restore(self, position: Position, digest: Digest, records: Sequence[Record]) -> None:
        self._begin()
        restore.restore(self.state, position, digest, records)
        if position or records:
            # Much may have happened meanwhile, and the links to the others are only coming up: ask again and again.
            self.state.asks_until = self.now + SETTLING_INTERVALS * self.state.config.status_interval_ns
            reads.begin_asking(self.state)
        self.state.timers.set("status", self.now)
        self._settle()

    def summary(self) -> list[Record]:
        return restore.summary(self.state)

    def submit(self, requests: Sequence[Request]) -> None:
        self._begin()
        state = self.state
        for request in requests:
            if not state.pool.add(request) or not state.active or state.leads():
                continue
            if large.is_large(request):
                normal.complete_briefs(state)  # its client sends it to the primary too; STATUS forwards it if not
            else:
                self.out.hints.append((state.leader(), Forward(request)))
        self._settle()

    def room(self, client: ClientId) -> int:
        return self.state.pool.room(client)

    def admits(self, sender: ReplicaId, message: Message) -> bool:
        admitted = admission.admits(self.state, sender, message)
        self._admitted = (sender, message) if admitted else None
        return admitted

    def receive(self, sender: ReplicaId, message: Message, seal: Seal) -> None:
        state = self.state
        # Asked again, unless nothing has happened since: the state may have moved on while our own copy waited.
        fresh = self._admitted
        known = fresh is not None and fresh[1] is message and fresh[0] == sender
        if not known and not admission.admits(state, sender, message):
            return
        self._begin()
        if admission.early(state, message):
            admission.keep_early(state, sender, message, seal)
            return
        entered, progress = (state.view, state.active), (state.delivered, state.tentative_end)
        kind = type(message)
        handle = HANDLERS.get(kind) or state.form.handlers[kind]
        handle(state, sender, message, seal)
        if kind in VOTES and (state.delivered, state.tentative_end) == progress:
            return  # nothing to propose and no timer to move: what waits is still the same
        if (state.view, state.active) != entered:
            self._replay_early()
        self._settle()

    def wake(self) -> None:
        self._begin()
        state = self.state
        for name in state.timers.due(self.now):
            if name == "view":
                view_change.leave_for(state, state.view + 1)
            else:
                self._tick()
        self._settle()

    def executed(self, position: Position, digest: Digest) -> None:
        self._begin()
        checkpoint.executed(self.state, position, digest)
        self._settle()

    def asked_again(self, position: Position) -> None:
        self._begin()
        reads.push(self.state, position)

    def waiting(self) -> Sequence[tuple[ClientId, int]]:
        return [request.key for request in self.state.pool.waiting()]

    def forget(self, requests: Sequence[tuple[ClientId, int]]) -> None:
        self.state.pool.forget(requests)

    def transferred(self, position: Position, digest: Digest) -> None:
        self._begin()
        checkpoint.transferred(self.state, position, digest)
        self._settle()

    def standing(self) -> Standing:
        state = self.state
        if state.fetching is not None:
            note = f"fetching the state of position {state.fetching.position}"
        elif not state.active:
            asked = sum(1 for view in state.asked.values() if view == state.view)
            note = f"changing to view {state.view}: {asked} of {state.committee.quorum}"
        elif state.awaited is not None:
            note = "ordering"
        else:
            note = "idle"
        return Standing(
            state.view, state.active, state.leader(), state.delivered, state.low, len(state.pool), note
        )

    def _begin(self) -> None:
        self._admitted = None
        self.state.now = self.now
        self.state.wall = self.wall

    def _settle(self) -> None:
        state = self.state
        normal.try_propose(state)
        if performance.observe(state):
            view_change.leave_for(state, state.view + 1)
        self._arm_view_timer()
        self._arm_status_timer()
        self.wake_at = state.timers.next()
        self.reads_at = reads.readable_at(state)
        state.check_invariants()

    def _replay_early(self) -> None:
        """Votes that came before their NEW-VIEW."""
        state = self.state
        for sender, held in sorted(state.early.items()):
            state.early[sender] = [entry for entry in held if admission.early(state, entry[0])]
            for message, seal in held:
                if not admission.early(state, message) and admission.admits(state, sender, message):
                    HANDLERS[type(message)](state, sender, message, seal)

    def _tick(self) -> None:
        """Ask for what is missing; unless decisions keep coming, which says that nothing is."""
        state = self.state
        busy = self._busy()
        reads.ask(state)
        if not busy or state.delivered == state.delivered_last_tick:
            catch_up.send_status(state)
            checkpoint.fetch_newer_if_stuck(state)
            state.form.ask_again(state)
            if state.leads():
                view_change.propose_required(state)
            elif state.active:
                for request in state.pool.waiting()[:FORWARDED_AGAIN_MAX]:
                    self.out.hints.append((state.leader(), Forward(request)))
        state.delivered_last_tick = state.delivered
        interval = state.config.status_interval_ns if busy else state.config.idle_interval_ns
        state.timers.set("status", self.now + interval)

    def _busy(self) -> bool:
        state = self.state
        return (
            not state.active
            or self.now < state.asks_until
            or len(state.pool) > 0
            or max(state.accepted_end, state.decided_end) > state.delivered
            or state.fetching is not None
            or state.ahead is not None
        )

    def _arm_status_timer(self) -> None:
        state = self.state
        latest = self.now + (state.config.status_interval_ns if self._busy() else state.config.idle_interval_ns)
        if state.timers.deadline("status") > latest:
            state.timers.set("status", latest)

    def _arm_view_timer(self) -> None:
        """Runs only while something waits: an idle primary is never deposed (section 4.4).

        It watches one request or position at a time, the oldest. So a primary that serves everybody else but one
        client is deposed too, and a long queue that moves is not mistaken for a dead primary.
        """
        state = self.state
        if not state.active:
            if view_change.left_with_us(state) < state.committee.quorum:
                state.timers.cancel("view")
            elif state.timers.deadline("view") == NEVER:
                growth = min(2 ** max(0, state.fruitless_views - 1), state.config.view_timeout_growth_max)
                state.timers.set("view", self.now + state.config.view_timeout_ns * growth)
            return
        if state.suspected:
            state.timers.set("view", self.now)
            return
        awaited = state.awaited
        if isinstance(awaited, tuple):
            waits = state.pool.waits(awaited)
        else:
            waits = awaited is not None and state.delivered < awaited <= state.accepted_end
        if waits and state.timers.deadline("view") != NEVER:
            return
        oldest = state.pool.oldest()
        if oldest is not None:
            state.awaited = oldest
        elif state.accepted_end > state.delivered:
            state.awaited = state.delivered + 1
        else:
            state.awaited = None
            state.timers.cancel("view")
            return
        state.timers.set("view", self.now + state.view_timeout_ns)
