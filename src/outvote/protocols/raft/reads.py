"""Reads beside the log: the read index of section 6.4 of the thesis, and the lease of section 6.4.1.

A read that begins now must see whatever was answered before. The leader knows: everything up to its commit index, once
an entry of its own term is committed, if it still leads. That it does, a majority says by answering a heartbeat that
was sent *after* the read began - or said so short enough ago, where clocks are trusted.

Tickets count the reads of a replica; one attempt confirms all that were handed out when it began. Kept: no attempt is
confirmed by an answer to an earlier one. A leader's rounds are counted within its term, which it leads once; a
follower's contexts are counted within its incarnation, which is counted on its disk.
"""

from __future__ import annotations

from typing import Final

from outvote.protocols.raft.messages import ReadAnswer, ReadQuery
from outvote.protocols.raft.records import NOBODY, Asking
from outvote.protocols.raft.state import LONG_AGO, State
from outvote.types import Nanos, Position, ReplicaId

CONTEXTS_OF_AN_INCARNATION: Final = 1 << 32


def ask(state: State) -> int:
    """A ticket for reads that begin now; `state.tickets_confirmed` tells when they may be answered."""
    state.tickets += 1
    if holds_lease(state):
        confirmed(state, state.tickets, index(state), state.now)
    else:
        attempt(state)
    return state.tickets


def readable_from(state: State) -> Position | None:
    """What has to be executed here before confirmed reads are answered; None if nobody is known to confirm any."""
    if not state.config.read_index or state.leader == NOBODY or not state.keeps_data:
        return None
    return state.read_from


def index(state: State) -> Position:
    """The leader's: not before the entry that began its term, or it might not know what earlier leaders committed."""
    return max(state.commit, state.term_start)


def holds_lease(state: State) -> bool:
    return bool(
        state.config.lease and state.leads and state.transferring == NOBODY
        and state.commit >= state.term_start and state.now < state.lease_until
    )


def attempt(state: State) -> None:
    """Begin one for all tickets that are out, unless one is under way or none is needed."""
    if state.tickets_asked >= state.tickets or state.read_round or state.read_context:
        return
    state.read_asked_at = state.now
    if state.leads and state.repair.pending:
        return
    if state.leads:
        state.tickets_asked = state.tickets
        state.read_round = state.round + 1
        state.read_index = index(state)
        state.beat_due = True
    elif state.leader != NOBODY:
        state.tickets_asked = state.tickets
        state.read_context = next_context(state)
        state.out.messages.append((state.leader, ReadQuery(state.term, state.read_context)))
        state.timers.set("read", state.now + state.config.heartbeat_ns * 2)


def next_context(state: State) -> int:
    """Never used before, whatever was forgotten in a crash: its first half is durable before the query leaves."""
    if state.contexts == 0:
        state.incarnation += 1
        state.out.records.append(Asking(state.incarnation))
    state.contexts += 1
    return state.incarnation * CONTEXTS_OF_AN_INCARNATION + state.contexts


def begin_again(state: State) -> None:
    """The leader has changed: what was asked is asked anew, of whoever leads now."""
    state.read_round = state.read_context = 0
    state.tickets_asked = state.tickets_confirmed
    attempt(state)


def asked_in_vain(state: State) -> None:
    """No answer for two heartbeats: a new attempt, with a new context."""
    if state.read_context:
        begin_again(state)


def confirmed(state: State, tickets: int, position: Position, asked_at: Nanos) -> None:
    """Whoever has executed up to `position` has everything that anybody was told of before `asked_at`."""
    state.known_at = asked_at
    state.read_from = max(state.read_from, position)
    state.tickets_confirmed = max(state.tickets_confirmed, tickets)
    state.tickets_asked = max(state.tickets_asked, state.tickets_confirmed)


def on_read_query(state: State, sender: ReplicaId, message: ReadQuery) -> None:
    """Confirmed like our own reads; one attempt a follower, its latest."""
    peer = state.peers.get(sender)
    if not state.leads or message.term != state.term or peer is None or state.repair.pending:
        return
    if holds_lease(state):
        state.out.hints.append((sender, ReadAnswer(message.context, index(state))))
        return
    peer.asked = message.context, state.round + 1, index(state)
    state.beat_due = True


def on_read_answer(state: State, _sender: ReplicaId, message: ReadAnswer) -> None:
    if message.context == state.read_context:
        state.read_context = 0
        state.timers.cancel("read")
        confirmed(state, state.tickets_asked, message.position, state.read_asked_at)
        attempt(state)


def confirm(state: State) -> None:
    """A heartbeat has been answered: what a majority has confirmed by now."""
    rounds = {replica: peer.confirmed for replica, peer in state.peers.items()}
    rounds[state.me] = state.round
    reached = state.members.reached(rounds)
    sent: Nanos = max((at for one, at in state.round_sent.items() if one <= reached), default=LONG_AGO)
    state.round_sent = {one: at for one, at in state.round_sent.items() if one > reached}
    if state.config.lease and state.transferring == NOBODY and sent > LONG_AGO:
        state.lease_until = max(state.lease_until, sent + state.config.lease_ns)
    for replica, peer in state.peers.items():
        if peer.asked is not None and peer.asked[1] <= reached:
            context, _, position = peer.asked
            peer.asked = None
            state.out.hints.append((replica, ReadAnswer(context, position)))
    if state.read_round and state.read_round <= reached:
        state.read_round = 0
        confirmed(state, state.tickets_asked, state.read_index, state.read_asked_at)
        attempt(state)
