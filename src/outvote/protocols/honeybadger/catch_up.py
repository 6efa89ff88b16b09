"""Who asks is told again (the paper assumes channels that lose nothing): see `core/patience.py` for when it asks.

The answer to LACKING(d, s): the outputs of epochs behind d that are at hand, which count when f + 1 replicas say the
same; everything that we said in the asker's next epochs, word for word; our CHECKPOINTs; and the proof of our stable
checkpoint, if the asker's is older, since we have forgotten what came before it.
"""

from __future__ import annotations

from typing import Final

from outvote.core.contract import ALL, digest_of
from outvote.core.tally import Tally
from outvote.protocols.honeybadger import turnover
from outvote.protocols.honeybadger.checkpoint import vote_on
from outvote.protocols.honeybadger.messages import Decided, Lacking
from outvote.protocols.honeybadger.ordering import decide, deliver_ready
from outvote.protocols.honeybadger.state import State
from outvote.types import ReplicaId

OUTPUTS_MAX: Final = 8  # in one answer
EPOCHS_SAID_AGAIN: Final = 2  # in one answer: about n (n + 20) messages each
OUTPUT_BYTES_MAX: Final = 2 * 1024 * 1024


def ask(state: State) -> None:
    turnover.ask(state)
    state.out.hints.append((ALL, Lacking(state.delivered, state.low)))


def on_lacking(state: State, sender: ReplicaId, message: Lacking) -> None:
    if sender == state.me:
        return
    out = state.out
    if message.stable < state.low:
        out.hints.append((sender, turnover.proof(state, message.stable)))
    for position, digest in sorted(state.own_digests.items()):
        if position > message.stable and state.members.place(state.me) is not None:
            out.messages.append((sender, vote_on(state, position, digest)))
    first = max(message.delivered, state.low) + 1
    size = 0
    for number in range(first, first + OUTPUTS_MAX):
        batch = state.decided.get(number)
        if batch is not None and size <= OUTPUT_BYTES_MAX:
            size += sum(request.size_bytes() for request in batch.requests)
            out.hints.append((sender, Decided(number, batch)))
    for number in range(first, first + EPOCHS_SAID_AGAIN):
        out.messages += [
            (sender, message) for receiver, message in state.said.get(number, ()) if receiver in (ALL, sender)
        ]
    turnover.on_lacking(state, sender)


def on_decided(state: State, sender: ReplicaId, message: Decided) -> None:
    """f + 1 of them: one is correct."""
    number = message.epoch
    digest = digest_of(message.batch)
    votes = state.told.setdefault(number, Tally())
    if not votes.add(sender, digest, b""):
        return
    state.heard += 1
    if votes.count(digest) >= state.members.committee.weak:
        decide(state, number, message.batch)
        deliver_ready(state)
