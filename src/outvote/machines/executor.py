"""Executes deliveries in order, each request at most once, and knows the digest of everything it did.

Invariant: two executors that were given the same deliveries agree in every byte of their replies, history and
snapshot. Positions come without gaps; a gap is a fault of the caller, not of a peer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Final

import msgspec

from outvote.core.contract import Delivery, Request
from outvote.errors import Lie, Mistake
from outvote.machines.contract import Context, Machine
from outvote.machines.fields import Fields
from outvote.machines.leaves import (
    HEADER,
    STATE_BYTES_MAX,
    STORED_BYTES_MAX,
    Draft,
    client_name,
    name_of,
    note_long,
    read,
    recount,
)
from outvote.machines.merkle_image import write_image
from outvote.machines.merkle_map import EMPTY, MerkleMap
from outvote.machines.operations import TOO_LARGE
from outvote.machines.sessions import Sessions
from outvote.types import DIGEST_BYTES, SEAL_BYTES, ClientId, Digest, Nanos, Position, Size
from outvote.wire.client_messages import OPERATIONS_MAX, RESULT_BYTES_MAX, ReplyStatement

SNAPSHOT_VERSION: Final = 3
# Room for the refusals that replace results once a request's budget is used up: 256 x 17 bytes = 4352 of 262144.
_BUDGET_BYTES: Final = RESULT_BYTES_MAX - OPERATIONS_MAX * len(TOO_LARGE)

_encode = msgspec.msgpack.Encoder().encode


class Snapshot(msgspec.Struct, frozen=True, gc=False):
    """The whole state at a position: the machine, the client table, the agreed time, the history."""

    position: Position
    digest: Digest  # of `state`
    state: MerkleMap

    @property
    def data(self) -> bytes:
        """As it is written on a disk. Costs time in the state's size."""
        return write_image(self.state)


class _Header(msgspec.Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    version: int
    position: Position
    history: Digest
    time: Nanos
    chance: Digest


_decode_header = msgspec.msgpack.Decoder(_Header).decode


class Executor:
    """One replica's state. `position`, `history` and `time` are those of the last delivery."""

    __slots__ = ("_chance", "_fields", "_long", "_machine", "_saved", "_sessions", "history", "position", "time")

    def __init__(self, machine: Machine) -> None:
        """Takes one snapshot of the fresh machine, so that a class that cannot be written down is refused now."""
        machine.snapshot()
        self._machine = machine
        self._fields = Fields(machine)
        self._sessions = Sessions()
        self._saved = EMPTY  # what the last checkpoint wrote
        self._chance: Digest = bytes(DIGEST_BYTES)  # what random bytes come from; moved on by each batch
        self._long: dict[bytes, int] = {}  # the names in it that have several pieces
        self.position: Position = 0
        self.history: Digest = bytes(DIGEST_BYTES)
        self.time: Nanos = 0

    @property
    def stored(self) -> bool:
        """Whether the class keeps some of its state in a store."""
        return self._fields.stored

    @property
    def machine(self) -> Machine:
        """The state itself, for who compares replicas with each other."""
        return self._machine

    def deliver(self, delivery: Delivery) -> list[ReplyStatement]:
        """Execute a committed batch. Returns the replies of all requests executed, and those kept for repeated ones."""
        replies = self.run(delivery)
        self.committed(delivery, replies)
        return replies

    def committed(self, delivery: Delivery, replies: list[ReplyStatement]) -> None:
        """What `run` executed last is committed: for who watches."""

    def go_back(self, snapshot: Snapshot, deliveries: Sequence[Delivery]) -> None:
        """Become the state of a snapshot taken or installed here, then of the committed deliveries behind it."""
        self.rewind(snapshot)
        for delivery in deliveries:
            self.run(delivery)

    def run(self, delivery: Delivery) -> list[ReplyStatement]:
        """Execute a batch that may not be committed yet."""
        assert delivery.position == self.position + 1, "deliveries come in order and without gaps"
        sessions = self._sessions
        replies: list[ReplyStatement] = []
        executed: list[tuple[ClientId, int, tuple[bytes, ...]]] = []
        self.position = delivery.position
        self.time = max(self.time + 1, delivery.time)
        self._chance = self._chance_of(delivery)
        for request in delivery.requests:
            client, number = request.client, request.number
            if sessions.executable(request) and len(request.operations) <= OPERATIONS_MAX:
                results = self._execute(request)
                answer = ReplyStatement(client, number, delivery.position, results)
                sessions.record(request, answer)
                executed.append((client, number, results))
                replies.append(answer)
            else:
                cached = sessions.cached(client, number)
                if cached is not None:
                    replies.append(cached)
        self._fields.settle()
        self.history = sha256(self.history + _encode((self.position, self.time, executed))).digest()
        return replies

    def _chance_of(self, delivery: Delivery) -> Digest:
        """What the primary proposes by its batch, mixed with what came of the batches before: the seals of the requests
        that are to run.

        Only each client can make its own, and neither times nor results are in it, which the primary can have a say in:
        sorted, and without what has run before, seals leave it nothing to choose but which requests it takes together.
        It chooses knowing the outcome; so does a client that tries many seals, if it knows what else is in the batch.
        See docs/decisions/0015-agreed-time-and-chance.md."""
        seals = sorted(
            # Signatures alone: a primary could change entries of authenticators, which nobody else can check.
            request.seal[-SEAL_BYTES:]
            for request in delivery.requests
            if self._sessions.executable(request)
        )
        return sha256(self._chance + _encode(seals)).digest() if seals else self._chance

    def _execute(self, request: Request) -> tuple[bytes, ...]:
        """One outcome for each operation. The seed binds the batch, client, number and place in the request."""
        apply = self._machine.apply
        position, time, client = self.position, self.time, request.client
        seed = self._chance + client.to_bytes(8, "big") + request.number.to_bytes(8, "big")
        results: list[bytes] = []
        used_bytes = 0
        for index, operation in enumerate(request.operations):
            outcome = apply(operation, Context(position, time, client, seed, index))
            used_bytes += len(outcome)
            if used_bytes > _BUDGET_BYTES:
                used_bytes -= len(outcome)
                outcome = TOO_LARGE
            results.append(outcome)
        return tuple(results)

    def read(self, client: ClientId, operations: Sequence[bytes]) -> tuple[bytes, ...] | None:
        """The outcomes of operations that provably change nothing, on the state as it is; None if one may."""
        results: list[bytes] = []
        used_bytes = 0
        for operation in operations:
            context = Context(self.position, self.time, client, self.history)
            outcome = self._machine._read_beside(operation, context)
            if outcome is None:
                return None
            used_bytes += len(outcome)
            if used_bytes > _BUDGET_BYTES:
                used_bytes -= len(outcome)
                outcome = TOO_LARGE
            results.append(outcome)
        return tuple(results)

    def executed_already(self, client: ClientId, number: int) -> bool:
        """Whether this request needs no ordering any more."""
        return self._sessions.executed_already(client, number)

    def cached(self, client: ClientId, number: int) -> ReplyStatement | None:
        """The reply to a request that was executed, while it is kept."""
        return self._sessions.cached(client, number)

    def sizes(self) -> Iterator[Size]:
        """What is held of the clients, and its limits."""
        return self._sessions.sizes()

    def low_marks(self) -> dict[ClientId, int]:
        """Up to which number each client's requests are settled."""
        return self._sessions.low_marks()

    def checkpoint(self) -> Snapshot:
        """The whole state now; equal on all correct replicas at one position. Costs time in what has changed since the
        last one. Raises Mistake if the state cannot be written, or is too large to be handed over."""
        return self.save()

    def save(self) -> Snapshot:
        """The same, for this process alone."""
        draft = Draft(self._saved, self._long)
        draft.write(HEADER, _encode(_Header(SNAPSHOT_VERSION, self.position, self.history, self.time, self._chance)))
        for client in self._sessions.touched():
            draft.write(client_name(client), self._sessions.row(client))
        self._fields.save(draft)
        state = draft.done()
        limit = STORED_BYTES_MAX if self._fields.stored else STATE_BYTES_MAX
        if state.size_bytes > limit:
            raise Mistake(
                f"the state has grown to {state.size_bytes} bytes and can be handed over up to {limit}: "
                "delete what the class no longer needs, or split it over several clusters"
            )
        self._saved = state
        self._fields.saved(state)
        return Snapshot(self.position, state.digest, state)

    @property
    def saved(self) -> MerkleMap:
        """The last state that was written down or taken over here."""
        return self._saved

    def install(self, state: MerkleMap) -> None:
        """Become this state, whatever was here before; all objects are made anew. Raises Lie, and changes nothing but
        perhaps the machine, if it cannot be read: check its digest first, then only a changed class can be the
        cause."""
        header = _read_header(state)
        sessions = Sessions()
        long: dict[bytes, int] = {}
        for key, _ in state.leaves():
            if key[:3] == b"\0\0c":
                name = name_of(key)
                sessions.take_row(int.from_bytes(name[1:], "big"), read(state, name))
            elif key[:2] != b"\0\0":
                note_long(long, key)
        self._fields.load(state)
        self._sessions = sessions
        self._stand(header, state)
        self._long = long

    def rewind(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot that this executor took or installed: `install` at the cost of what has changed since.
        Raises Mistake if the state to be left cannot be written."""
        saved = self.save().state
        state = snapshot.state
        header = _read_header(state)
        changed = list(state.changed_since(saved))
        for name in dict.fromkeys(map(name_of, changed)):
            if name[:1] == b"c":
                self._sessions.take_row(int.from_bytes(name[1:], "big"), read(state, name))
        self._fields.rewind(saved, state, changed)
        self._stand(header, state)
        recount(self._long, state, changed)

    def _stand(self, header: _Header, state: MerkleMap) -> None:
        self._saved = state
        self.position = header.position
        self.history = header.history
        self.time = header.time
        self._chance = header.chance


def _read_header(state: MerkleMap) -> _Header:
    """Raises Lie."""
    try:
        header = _decode_header(read(state, HEADER) or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Lie(f"a state that cannot be read: {error}") from error
    if header.version != SNAPSHOT_VERSION or not len(header.history) == len(header.chance) == DIGEST_BYTES:
        raise Lie(f"a state of version {header.version}, and this program reads version {SNAPSHOT_VERSION}")
    return header
