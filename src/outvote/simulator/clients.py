"""Simulated clients of a key-value store: the real client session under a workload, and what they saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from outvote.client.session import Answered, Failed, Session, SessionConfig
from outvote.core.committee import Committee
from outvote.errors import Lie, Mistake, Refused
from outvote.machines.interface import Interface
from outvote.simulator.checkers.linearizability import Operation
from outvote.simulator.checkers.violation import Violation
from outvote.simulator.plan import Plan
from outvote.simulator.seals import SealRegistry
from outvote.types import NEVER, SECOND, ClientId, Nanos, ReplicaId
from outvote.wire.client_messages import ToClient, ToReplica

Call = tuple[str, tuple[Any, ...]]  # name and arguments of one operation
CONFIG = SessionConfig(retry_ns=SECOND // 2, retry_max_ns=2 * SECOND, timeout_ns=10_000 * SECOND)


class SimulatedClient:
    """Keeps `outstanding` operations going until it has done its share."""

    def __init__(
        self,
        client: ClientId,
        plan: Plan,
        interface: Interface,
        registry: SealRegistry,
        send: Callable[[ClientId, ReplicaId, ToReplica], None],
        sent: Callable[[ClientId, int, tuple[bytes, ...]], None],
        log: Callable[[str], None],
    ) -> None:
        self.client = client
        self._log = log
        self._rng = Random(plan.seed * 1000 + client)
        self._keys = plan.keys
        self._outstanding = plan.outstanding
        self._to_start = plan.operations_each
        self._pause_max = plan.pause_max
        self._next_at: Nanos = 0  # not before this, so that the work is spread over the faults
        self._values = 0
        self._interface = interface
        self._send = send
        self._sent = sent
        self.session = Session(client, Committee(plan.n), registry.sealer(client), registry, CONFIG)
        for replica in range(plan.n):
            self.session.connected(replica)
        self._open: dict[int, tuple[list[Call], Nanos]] = {}
        self._versions: dict[str, int] = {}
        self.history: list[tuple[int, Operation]] = []  # each with its request's number

    @property
    def finished(self) -> bool:
        return not self._open and not self._to_start

    def start(self, now: Nanos) -> Nanos:
        """Issue what may be issued, send what is due; returns the next deadline."""
        while self._to_start and len(self._open) < self._outstanding and now >= self._next_at:
            if self._pause_max:
                self._next_at = now + self._rng.randrange(self._pause_max)
            calls = [self._draw() for _ in range(min(self._to_start, self._rng.choice((1, 1, 3))))]
            self._to_start -= len(calls)
            self._issue(calls, now)
        return self._flush(now)

    def call(self, calls: list[Call], now: Nanos) -> Nanos:
        """Issue one request by hand, as scripts do; returns the next deadline."""
        self._issue(calls, now)
        return self._flush(now)

    def _issue(self, calls: list[Call], now: Nanos) -> None:
        operations = [self._interface.encode(*call) for call in calls]
        number = self.session.submit(operations, now)
        self._open[number] = (calls, now)
        self._sent(self.client, number, tuple(operations))

    def tick(self, now: Nanos) -> Nanos:
        self._settle(self.session.tick(now), now)
        return self.start(now)

    def receive(self, replica: ReplicaId, message: ToClient, now: Nanos) -> Nanos:
        self._settle(self.session.receive(replica, message, now), now)
        return self.start(now)

    def _flush(self, now: Nanos) -> Nanos:
        for replica, message in self.session.take_outgoing():
            self._send(self.client, replica, message)
        return min(self.session.next_deadline(), self._next_at if self._to_start and self._next_at > now else NEVER)

    def _draw(self) -> Call:
        rng = self._rng
        key = f"k{rng.randrange(self._keys)}"
        kind = rng.random()
        self._values += 1
        value = f"{self.client}.{self._values}"
        if kind < 0.35:
            return "put", (key, value)
        if kind < 0.75:
            return "get", (key,)
        if kind < 0.9:
            return "cas", (key, value, self._versions.get(key, 0))
        return "delete", (key,)

    def _settle(self, outcomes: Sequence[Answered | Failed], now: Nanos) -> None:
        for outcome in outcomes:
            calls, called = self._open.pop(outcome.number)
            if isinstance(outcome, Failed):
                self.history += [(outcome.number, Operation(self.client, called, None, call)) for call in calls]
                continue
            answered = zip(calls, outcome.statement.results, strict=True)
            for index, ((name, args), encoded) in enumerate(answered):
                try:
                    result = self._interface.decode(name, encoded)
                except (Refused, Mistake, Lie) as error:
                    raise Violation("validity", f"client {self.client} got {error!r} for {name}{args}") from error
                self._remember(name, args, result)
                self._log(f"#{outcome.number} {' '.join(map(str, (name, *args)))} = {result}")
                plain = (result.value, result.version) if name == "get" and result is not None else result
                entry = Operation(self.client, called, now, (name, args), plain, index)
                self.history.append((outcome.number, entry))

    def _remember(self, name: str, args: tuple[Any, ...], result: Any) -> None:
        """Versions seen, so that compare-and-set succeeds now and then."""
        if name == "put":
            self._versions[args[0]] = result
        elif name == "get" and result is not None:
            self._versions[args[0]] = result.version

    def unfinished(self) -> list[tuple[int, Operation]]:
        """What was called and not answered: it may have taken effect, or not."""
        return [
            (number, Operation(self.client, called, None, call))
            for number, (calls, called) in self._open.items()
            for call in calls
        ]
