"""From records to state and back: a restarted replica is bound by every promise, and makes them again."""

from __future__ import annotations

from collections.abc import Sequence

from outvote.broadcast.reliable import Echo, Val
from outvote.core.contract import Record
from outvote.protocols.honeybadger import checkpoint, turnover
from outvote.protocols.honeybadger.epoch import Words
from outvote.protocols.honeybadger.messages import Broadcasting
from outvote.protocols.honeybadger.ordering import deliver, deliver_ready
from outvote.protocols.honeybadger.records import Certified, Output, Said
from outvote.protocols.honeybadger.state import GENESIS, State
from outvote.types import Digest, Position


def summary(state: State) -> list[Record]:
    """At most: a certificate, what turnover.py adds, and per epoch of the window its output and what was said in it."""
    records: list[Record] = []
    if state.certified.position:
        records.append(Certified(state.certified))
    records += turnover.summary(state)
    records += [Output(number, batch) for number, batch in sorted(state.decided.items())]
    for _, words in sorted(state.said.items()):
        records += [Said(*one) for one in words]
    return records


def restore(state: State, position: Position, digest: Digest, records: Sequence[Record]) -> None:
    """`position` and `digest` tell the state that the executor came back with."""
    certificates = {one.certificate.position: one.certificate for one in records if isinstance(one, Certified)}
    certified = certificates[max(certificates)] if certificates else GENESIS
    state.certified = certified
    state.delivered = state.stored = position
    turnover.restore(state, records, certificates)
    outputs = {record.epoch: record.batch for record in records if isinstance(record, Output)}
    state.decided = {number: batch for number, batch in outputs.items() if state.low < number <= state.high}
    said = [one for one in records if isinstance(one, Said) and state.low < one.message.epoch <= state.high]
    never = torn(state, said)
    for record in said:
        if record not in never:
            bind(state, record)
    for number in range(state.low + 1, position + 1):
        if number in outputs:
            turnover.executed_before(state, number, outputs[number])
    turnover.follow(state)
    for _, words in sorted(state.said.items()):
        state.out.messages += [(one.receiver, one.message) for one in words]
    if position > certified.position or (position, digest) == (certified.position, certified.digest):
        deliver_ready(state)
        return
    way = range(position + 1, state.low + 1)
    if way and all(number in outputs for number in way):
        state.executes_again = True
        for number in way:
            state.decided[number] = outputs[number]
            deliver(state, number)
            del state.decided[number]
        deliver_ready(state)
    elif certified.position:
        # The snapshot is older than what was certified, or rotten, and the log in between is gone.
        checkpoint.fetch(state, certified)


def torn(state: State, said: Sequence[Said]) -> list[Said]:
    """Of our own proposals, the first words, where a power failure kept the others from the disk. They were one write,
    and nothing of it had left: so they were never said, and we may have proposed, or may propose, something else."""
    words: dict[tuple[Position, Digest], list[Said]] = {}
    place = state.members.place(state.me)
    for record in said:
        message = record.message
        if message.proposer == place and isinstance(message, Broadcasting) and isinstance(message.body, Val | Echo):
            kept = words.setdefault((message.epoch, message.body.root), [])
            if record not in kept:
                kept.append(record)
    # A VAL to each of the others, and the ECHO.
    return [record for kept in words.values() if len(kept) < state.members.committee.n for record in kept]


def bind(state: State, record: Said) -> None:
    words = Words(record.receiver, record.message)
    held = state.said.setdefault(record.message.epoch, [])
    if words not in held:
        held.append(words)
        if state.takes_part:  # else once our share has come
            state.epoch(record.message.epoch).bind(record.message)
