"""What may still matter of this form's own messages; asked before anything is handled."""

from __future__ import annotations

from itertools import pairwise

from outvote.core.contract import Message
from outvote.protocols.pbft.authenticators.messages import (
    EnteredView,
    FetchedViewChange,
    NewView,
    StableWord,
    ViewChange,
    ViewChangeAck,
)
from outvote.protocols.pbft.state import State
from outvote.types import ReplicaId


def always(_state: State, _sender: ReplicaId, _message: Message) -> bool:
    """Costs a look-up at most, keeps nothing."""
    return True


def fits(state: State, message: ViewChange) -> bool:
    """Small enough to be worth a look: C, P and Q of one window."""
    window = state.config.window
    checkpoints_max = window // state.config.checkpoint_interval + 1
    return (
        len(message.checkpoints) <= checkpoints_max
        and len(message.prepared) <= window
        and len(message.pre_prepared) <= window
    )


def admits_view_change(state: State, sender: ReplicaId, message: ViewChange) -> bool:
    if message.view < state.view or (message.view == state.view and state.active):
        return False
    held = state.unsigned.latest.get(sender)
    return (held is None or held[0].view < message.view) and fits(state, message)


def admits_ack(state: State, sender: ReplicaId, message: ViewChangeAck) -> bool:
    if message.view < state.view or (message.view == state.view and state.active):
        return False
    if not state.committee.holds(message.sender):
        return False
    held = state.unsigned.acks.get((sender, message.sender))
    return held is None or held[0] < message.view or (held[0] == message.view and held[1] != message.digest)


def admits_new_view(state: State, _sender: ReplicaId, message: NewView) -> bool:
    if message.view < state.view or (message.view == state.view and state.active):
        return False
    senders = [sender for sender, _ in message.view_changes]
    return (
        state.committee.quorum <= len(senders) <= state.committee.n
        and all(one < other for one, other in pairwise(senders))
        and all(map(state.committee.holds, senders))
        and len(message.proposals) <= state.config.window
    )


def admits_entered_view(state: State, sender: ReplicaId, message: EnteredView) -> bool:
    return admits_new_view(state, sender, message.message)


def admits_fetched_view_change(state: State, _sender: ReplicaId, message: FetchedViewChange) -> bool:
    return bool(state.unsigned.pending) and fits(state, message.message)


def admits_stable_word(state: State, sender: ReplicaId, message: StableWord) -> bool:
    if message.position <= state.low or message.position % state.config.checkpoint_interval:
        return False
    held = state.unsigned.stable_words.get(sender)
    return held is None or held[0] < message.position
