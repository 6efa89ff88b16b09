"""Answers that a quorum of clients' reads stands on: from which position on our state may be read, and who lacks it.

A read of 2f + 1 equal answers meets every write of 2f + 1 answers in a correct replica that executed the write. That
replica must not forget it: a crash may take the note of a decision, since replies do not wait for the disk. So a
replica that comes back asks how far the others are before it lets anybody read (QUERY-REACHED, like the estimation in
Castro's thesis, section 4.3.2). What it ever executed was prepared by a quorum, durably; that quorum meets any 2f
others and itself in a correct replica, and its answer is at least as high.

And the writes need those answers: a lying primary could keep f correct replicas in the dark while f liars answer no
client, and then 2f + 1 answers never come. So whoever is asked again for an executed request tells the others what was
decided (Berger, Reiser, Bessani, "Making Reads in BFT State Machine Replication Fast, Linearizable, and Live", 2021).
"""

from __future__ import annotations

from typing import Final

from outvote.core.contract import ALL
from outvote.protocols.pbft.messages import Decided, QueryReached, ReachedReply
from outvote.protocols.pbft.state import State
from outvote.types import Position, ReplicaId, Seal

PUSHED_SLOTS_MAX: Final = 32
PUSHED_BYTES_MAX: Final = 2 * 1024 * 1024  # of batches to one replica at once; as in answer to a STATUS
PUSHED_BEFORE: Final = 8  # positions in front of the wanted one, for a replica that never said how far it is


def reached(state: State) -> Position:
    """The highest position that this replica knows it prepared, decided or holds a certified state of."""
    voted = (at for at, slot in state.slots.items() if slot.prepared is not None or slot.committed is not None)
    return max(state.delivered, state.low, max(voted, default=0))


def begin_asking(state: State) -> None:
    """After a restart: nobody reads here before the others have said how far they are."""
    state.readable_from = reached(state)
    if state.committee.quorum > 1:
        state.reached_nonce = abs(state.now ^ state.wall) or 1


def ask(state: State) -> None:
    """Repeated with every STATUS until the answers suffice and this replica is as far as they say."""
    if state.reached_nonce:
        state.out.hints.append((ALL, QueryReached(state.reached_nonce)))


def on_query_reached(state: State, sender: ReplicaId, message: QueryReached, _seal: Seal) -> None:
    if sender != state.me:
        state.out.hints.append((sender, ReachedReply(message.nonce, reached(state))))


def on_reached_reply(state: State, sender: ReplicaId, message: ReachedReply, _seal: Seal) -> None:
    """Only an answer to this very question counts: an older one may have been said before we executed more."""
    if state.reached_nonce and message.nonce == state.reached_nonce and sender != state.me:
        state.reached_told[sender] = max(0, message.position)


def readable_at(state: State) -> Position | None:
    """From which position on the state may be read; None: not now. Any 2f others will do, so the lowest are taken, and
    f liars that claim to be far ahead are left out once everybody has answered."""
    if state.fetching is not None:
        return None  # what is executed here may be wrong
    if not state.reached_nonce:
        return state.readable_from
    needed = state.committee.quorum - 1
    told = sorted(state.reached_told.values())
    if len(told) < needed:
        return None
    position = max(state.readable_from, told[needed - 1])
    if state.delivered >= position:
        state.readable_from = position
        state.reached_nonce = 0
        state.reached_told = {}
    return position


def push(state: State, position: Position) -> None:
    """Tell those that may lack it what was decided up to `position`: at most once in half a status interval each."""
    for peer in range(state.committee.n):
        known = state.heard_delivered.get(peer)
        if peer == state.me or (known is not None and known >= position):
            continue
        last = state.pushed_at.get(peer)
        if last is not None and state.now - last < state.config.status_interval_ns // 2:
            continue
        state.pushed_at[peer] = state.now
        push_to(state, peer, known if known is not None else position - PUSHED_BEFORE, position)


def push_to(state: State, peer: ReplicaId, known: Position, position: Position) -> None:
    if known < state.low and state.low:
        state.out.hints.append((peer, state.form.stable_proof(state)))
    size = 0
    first = max(known, state.low) + 1
    for at in range(first, min(position + 1, first + PUSHED_SLOTS_MAX)):
        slot = state.slots.get(at)
        batch = slot.decided_batch() if slot is not None else None
        if batch is None:
            continue
        size += sum(request.size_bytes() for request in batch.requests)
        state.out.hints.append((peer, Decided(at, batch)))
        if size > PUSHED_BYTES_MAX:
            return
