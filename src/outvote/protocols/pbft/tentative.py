"""Tentative execution, section 5.1: what is prepared, with everything before it committed, runs before it is committed.

A client believes 2f + 1 tentative answers: then f + 1 correct replicas hold the prepared certificate, durably, and
every new view proposes it again. One position at a time, so undoing it costs no more than the way from the last
checkpoint.
"""

from __future__ import annotations

from outvote.core.contract import Delivery
from outvote.protocols.pbft import performance
from outvote.protocols.pbft.state import State


def offer(state: State) -> None:
    """Have the position behind the last committed one executed tentatively, if it is prepared in this view."""
    position = state.delivered + 1
    if not state.config.tentative or state.tentative_end >= position or state.fetching is not None or not state.active:
        return
    slot = state.slots.get(position)
    if slot is None or not slot.prepared_now or slot.committed is not None:
        return
    batch = slot.batches.get(slot.digest)
    if batch is None or not batch.requests:
        return
    state.tentative_end = position
    performance.answered(state, position)
    # Who was told of it may ask another client to read: not before it is committed here.
    state.readable_from = max(state.readable_from, position)
    state.out.tentative.append(Delivery(position, batch.time, batch.requests, state.view, False))


def undo(state: State) -> None:
    """The view ends: another may decide something else."""
    state.out.tentative.clear()
    if state.tentative_end > state.delivered:
        state.out.undo.append(state.delivered)
    state.tentative_end = 0


def entered(state: State) -> None:
    """What clients took as answered in earlier views was prepared by a quorum, so the new view proposes it: a position
    behind that need not be waited for before clients read."""
    state.readable_from = min(state.readable_from, max(state.required_end, state.delivered))
