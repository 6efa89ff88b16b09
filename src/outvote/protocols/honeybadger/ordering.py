"""Epochs one after the other: propose, agree, open, deliver (Miller et al. 2016, section 4.4 and figure 1).

1. With something to propose, or when others have begun the epoch: pick B / n of the first B waiting requests at random
   (so that replicas with the same queue propose different ones), encrypt them and put them into the common subset.
   Up to `pipeline` epochs are under way at a time. One begins while another is under way if it has a full batch, or if
   that other one only waits to be opened: then it costs no requests that could have been in it. What a replica has
   proposed in an epoch under way it does not propose again.
2. When the set is agreed on: open every ciphertext in it together.
3. In order of proposers: what decodes and whose clients' seals all hold is taken, any other proposal is nothing and its
   proposer's fault. A request that several proposed counts where it comes first. The time is the median of the
   proposers', which lies between those of correct ones.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2s
from itertools import islice

import msgspec

from outvote.core.contract import ALL, Claim, Delivery, Request, canonical
from outvote.protocols.honeybadger import turnover
from outvote.protocols.honeybadger.epoch import Epoch, Words
from outvote.protocols.honeybadger.membership import Word, short
from outvote.protocols.honeybadger.messages import Batch, Contribution, Decided, Working, encoded
from outvote.protocols.honeybadger.records import Output, Said
from outvote.protocols.honeybadger.state import State
from outvote.types import ClientId, Position, ReplicaId

_decode = msgspec.msgpack.Decoder(Contribution).decode


def on_working(state: State, sender: ReplicaId, message: Working) -> None:
    """Anything said within an epoch; `admits` has looked at the epoch and the proposer."""
    epoch = state.epoch(message.epoch)
    state.heard += 1
    place = state.members.place(sender)
    assert place is not None
    say(state, epoch, epoch.receive(place, message))


def on_computed(state: State, ticket: int, answer: bytes) -> None:
    """A job is done; its epoch may be over."""
    asked = state.desk.take(ticket)
    if asked is None:
        return
    number, question = asked
    epoch = state.epochs.get(number)
    if epoch is not None:
        say(state, epoch, epoch.learn(question, answer))


def say(state: State, epoch: Epoch, words: list[Words]) -> None:
    """Recorded first; kept, to be said again. Within an epoch replicas are told by their places among the members."""
    members = state.members
    words = [one if one.receiver == ALL else one._replace(receiver=members.replica(one.receiver)) for one in words]
    for one in words:
        state.out.records.append(Said(one.receiver, one.message))
        state.out.messages.append((one.receiver, one.message))
    state.said.setdefault(epoch.number, []).extend(words)
    for culprit, what in epoch.faults:
        state.out.lies.append((members.replica(culprit), what))
    epoch.faults.clear()
    if epoch.opened is not None:
        finish(state, epoch)


def try_propose(state: State, genuine: Genuine) -> None:
    """Once in each of the next epochs, in order, as far as there is something to say in them."""
    if state.fetching is not None or not state.takes_part:
        return
    first = state.delivered + 1
    for number in range(first, first + state.config.pipeline):
        if not state.in_play(number) or number in state.decided:
            continue
        if not may_begin(state, number):
            return
        epoch = state.epoch(number)
        if not epoch.proposed:
            propose(state, epoch)
    open_outputs(state, genuine)


def may_begin(state: State, number: Position) -> bool:
    """Whether others have begun this epoch or a later one, or it would not come too early for what waits here."""
    if any(begun >= number for begun in state.epochs) or turnover.urges(state):
        return True
    before = state.epochs.get(number - 1)
    worthwhile = 1 if before is None or before.agreed else state.config.picks(state.members.committee.n)
    if len(state.pool) < worthwhile:
        return False
    under_way = sum(1 for requests in state.proposed.values() for one in requests if state.pool.get(one.key))
    return len(state.pool) - under_way >= worthwhile


def propose(state: State, epoch: Epoch) -> None:
    state.proposed[epoch.number] = picked = pick(state, epoch.number)
    contribution = encoded(Contribution(state.wall, picked, turnover.word(state)))
    nonce = state.keys.entropy.draw(epoch.number, b"encrypt" + blake2s(contribution).digest())
    say(state, epoch, epoch.propose(contribution, nonce))


def pick(state: State, epoch: Position) -> tuple[Request, ...]:
    """B / n of the first B that wait, each choice as likely; as many as their bytes allow."""
    config = state.config
    under_way = {request.key for requests in state.proposed.values() for request in requests}
    first = list(islice((one for one in state.pool.waiting() if one.key not in under_way), config.batch_requests_max))
    lot = state.keys.entropy.draw(epoch, b"pick")
    drawn = sorted(first, key=lambda request: blake2s(canonical(request.statement()), key=lot).digest())
    picked: list[Request] = []
    size = 64
    for request in drawn[: config.picks(state.committee.n)]:
        size += request.size_bytes()
        if size > config.batch_bytes_max:
            break
        picked.append(request)
    return tuple(picked)


class Genuine:
    """Whether a request is its client's: asked of the host, unless it has been for this very request."""

    def __init__(self, state: State, opens: Callable[[Claim], bool]) -> None:
        self._state = state
        self._opens = opens

    def __call__(self, request: Request) -> bool:
        return self._state.pool.get(request.key) == request or self._opens(request.claim())


def finish(state: State, epoch: Epoch) -> None:
    """Nothing more is to be heard in this epoch: what is still under way says what has been decided."""
    state.finished[epoch.number] = None


def open_outputs(state: State, genuine: Genuine) -> None:
    """Turn the epochs that are opened into batches, and deliver what is next in order."""
    for number in sorted([number for number, epoch in state.epochs.items() if epoch.opened is not None]):
        opened = state.epochs.pop(number).opened
        if number not in state.decided and opened is not None:
            decide(state, number, batch_of(state, opened, genuine))
    deliver_ready(state)


def batch_of(state: State, opened: dict[ReplicaId, bytes | None], genuine: Genuine) -> Batch:
    """A function of what was opened alone."""
    times: list[int] = []
    requests: dict[tuple[ClientId, int], Request] = {}
    words: list[tuple[ReplicaId, Word]] = []
    for place, plaintext in opened.items():
        proposer = state.members.replica(place)
        contribution = None if plaintext is None else contribution_of(plaintext)
        if contribution is None or not acceptable(state, contribution, genuine):
            if plaintext is not None:
                state.out.lies.append((proposer, "a batch that is none"))
            continue
        times.append(contribution.time)
        for request in contribution.requests:
            requests.setdefault(request.key, request)
        if contribution.word is not None:
            words.append((proposer, contribution.word))
    time = sorted(times)[len(times) // 2] if times else 0
    return Batch(time, tuple(requests.values()), tuple(words))


def contribution_of(plaintext: bytes) -> Contribution | None:
    try:
        return _decode(plaintext)
    except (msgspec.DecodeError, RecursionError):
        return None


def acceptable(state: State, contribution: Contribution, genuine: Genuine) -> bool:
    return (
        0 <= contribution.time < 1 << 62
        and (contribution.word is None or short(contribution.word.handed, state.committee.n))
        and len(contribution.requests) <= state.config.picks(state.members.committee.n)
        and all(
            request.operations and 0 <= request.acknowledged < request.number for request in contribution.requests
        )
        and all(genuine(request) for request in contribution.requests)
    )


def decide(state: State, number: Position, batch: Batch) -> None:
    state.decided[number] = batch
    state.out.notes.append(Output(number, batch))


def deliver_ready(state: State) -> None:
    """In order, up to the window's end; nothing while a state is being fetched."""
    while state.fetching is None and state.delivered + 1 in state.decided and state.delivered < state.high:
        deliver(state, state.delivered + 1)


def deliver(state: State, number: Position) -> None:
    batch = state.decided[number]
    state.delivered = number
    state.heard += 1
    for request in batch.requests:
        state.pool.mark_executed(request)
    state.told.pop(number, None)
    state.proposed.pop(number, None)
    if number > state.low:  # else it is executed again, and the roster is that of a later position
        turnover.delivered(state, number, batch)
        tell_learners(state, number, batch)
    checkpoint = state.is_checkpoint(number)
    state.out.deliveries.append(Delivery(number, batch.time, batch.requests, 0, checkpoint))


def tell_learners(state: State, number: Position, batch: Batch) -> None:
    """f + 1 members do, others in each epoch; who misses it asks."""
    members = state.members
    place, n = members.place(state.me), members.committee.n
    if place is None or (place - number) % n >= members.committee.weak:
        return
    for replica in range(state.committee.n):
        if members.place(replica) is None:
            state.out.hints.append((replica, Decided(number, batch)))
