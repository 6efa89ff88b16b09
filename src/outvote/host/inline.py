"""A cluster inside one call stack: for examples, notebooks and unit tests. No thread, no socket, no disk, no loop.

The same turn as everywhere; messages go through queues in order, time moves only when nothing else can.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from outvote.core.contract import Core, Message, Record, Request, RequestStatement, Struct
from outvote.crypto.keys import generate_signing_key
from outvote.crypto.seals import Ed25519Opener, Ed25519Sealer, domain
from outvote.errors import Mistake, Refused
from outvote.host.ports import Sealer
from outvote.host.turn import Turn
from outvote.host.voice import Voice
from outvote.machines.executor import Executor
from outvote.machines.interface import describe
from outvote.machines.machine import StateMachine
from outvote.machines.state_transfer import TRANSFER_MESSAGES
from outvote.machines.versions import check_interchangeable
from outvote.storage.memory import MemoryDisk
from outvote.types import DIGEST_BYTES, FIRST_CLIENT, NEVER, SECOND, ClientId, Nanos, PartyId, ReplicaId, Seal
from outvote.wire.client_messages import Reply, ReplyStatement, ToClient
from outvote.wire.codec import Codec, RecordCodec

PATIENCE_NS: Nanos = 60 * SECOND  # of the cluster's own time: after that an operation has no answer


class InlineClock:
    """A counter that jumps to the next deadline when nothing else is left to do."""

    def __init__(self) -> None:
        self.time: Nanos = 0

    def now(self) -> Nanos:
        return self.time

    def wall(self) -> Nanos:
        return self.time


class Quiet:
    """An observer that counts and says nothing."""

    def __init__(self) -> None:
        self.counters: dict[str, int] = {}

    def count(self, what: str, amount: int = 1) -> None:
        self.counters[what] = self.counters.get(what, 0) + amount

    def lie(self, party: PartyId, kind: str, text: str) -> None:
        self.count(f"lies_{kind}")

    def evidence(self, party: ReplicaId, first: tuple[Struct, Seal], second: tuple[Struct, Seal]) -> None:
        self.count("convicted")

    def note(self, text: str) -> None:
        self.count("notes")

    def checkpoint(self, position: int, digest: bytes) -> None:
        self.count("checkpoints")


class _Wire:
    """The Network port of one replica."""

    def __init__(self, cluster: InlineCluster, me: ReplicaId) -> None:
        self._cluster = cluster
        self._me = me

    def send(self, receiver: ReplicaId, body: bytes) -> None:
        self._cluster.carry(self._me, receiver, body)

    def answer(self, client: ClientId, message: ToClient) -> None:
        self._cluster.answered(self._me, message)

    def hasten(self) -> None:
        """Nothing waits here."""


class InlineCluster:
    """`machine` on n replicas. `make_core(replica)` comes from a protocol of the catalogue."""

    def __init__(
        self,
        machine: type[StateMachine],
        make_core: Callable[[ReplicaId], Core],
        messages: Sequence[type[Message]],
        records: Sequence[type[Record]],
        n: int = 4,
        versions: Mapping[ReplicaId, type[StateMachine]] | None = None,
    ) -> None:
        """`versions`: other implementations of `machine`, by replica. Raises Mistake if one cannot stand for it."""
        implementations = [(versions or {}).get(me, machine) for me in range(n)]
        for one in implementations:
            check_interchangeable(machine, one)
        self.n = n
        self.interface = describe(machine)
        self.clock = InlineClock()
        self.observer = Quiet()
        self.down: set[ReplicaId] = set()
        self._frames: deque[tuple[ReplicaId, ReplicaId, bytes]] = deque()
        self._replies: dict[ReplyStatement, set[ReplicaId]] = {}
        self._number = 0
        seal_domain = domain(bytes(DIGEST_BYTES), 0)
        keys = {party: generate_signing_key() for party in [*range(n), FIRST_CLIENT]}
        opener = Ed25519Opener(seal_domain, {party: key.public for party, key in keys.items()})
        self._sealer: Sealer = Ed25519Sealer(seal_domain, keys[FIRST_CLIENT])
        codec = Codec((*messages, *TRANSFER_MESSAGES), 0)
        self.turns = [
            Turn(
                make_core(me), Executor(implementations[me]()), protocol="inline", codec=codec,
                records=RecordCodec(records),
                voice=Voice(me, n, Ed25519Sealer(seal_domain, keys[me]), codec, _Wire(self, me)), opener=opener,
                disk=MemoryDisk(), clock=self.clock, observer=self.observer,
            )
            for me in range(n)
        ]
        self._wakes: list[Nanos] = [0] * n
        for turn in self.turns:
            turn.recover()

    def call(self, name: str, *arguments: object) -> object:
        """Order one command and return its result, agreed by f + 1 replicas. Raises Refused, or Mistake if the
        cluster cannot answer (too many replicas are down)."""
        return self.interface.decode(name, self.submit([self.interface.encode(name, arguments)]).results[0])

    def submit(self, operations: Sequence[bytes]) -> ReplyStatement:
        """One request with these operations; returns the statement that f + 1 replicas gave."""
        self._number += 1
        # With receipts, since the others would send digests of large results.
        statement = RequestStatement(FIRST_CLIENT, self._number, self._number - 1, tuple(operations), True)
        request = Request(*statement_fields(statement), self._sealer.seal(statement), True)
        self._replies = {}
        for turn in self._up():
            refusal = turn.request(FIRST_CLIENT, request)
            if refusal is not None:
                raise Refused(refusal.reason)
            self._wakes[turn.me] = self.clock.time
        deadline = self.clock.time + PATIENCE_NS
        while True:
            self._settle()
            for answer, replicas in self._replies.items():
                if len(replicas) > (self.n - 1) // 3:
                    return answer
            self.clock.time = min(self._wakes[turn.me] for turn in self._up())
            if self.clock.time > deadline:
                raise Mistake(f"no answer: {len(self.down)} of {self.n} replicas are down, let one come back")

    def carry(self, sender: ReplicaId, receiver: ReplicaId, body: bytes) -> None:
        self._frames.append((sender, receiver, body))

    def answered(self, replica: ReplicaId, message: ToClient) -> None:
        if isinstance(message, Reply) and message.answer.number == self._number:
            self._replies.setdefault(message.answer, set()).add(replica)

    def _up(self) -> list[Turn]:
        return [turn for turn in self.turns if turn.me not in self.down]

    def _settle(self) -> None:
        """Deliver and run until nothing is on its way and nobody is due."""
        due = True
        while due or self._frames:
            while self._frames:
                sender, receiver, body = self._frames.popleft()
                if receiver not in self.down and sender not in self.down:
                    self.turns[receiver].hear(sender, body)
                    self._wakes[receiver] = self.clock.time
            due = False
            for turn in self._up():
                if self._wakes[turn.me] <= self.clock.time:
                    self._wakes[turn.me] = min(turn.run(), NEVER)
                    due = True


def statement_fields(statement: RequestStatement) -> tuple[ClientId, int, int, tuple[bytes, ...]]:
    return statement.client, statement.number, statement.acknowledged, statement.operations
