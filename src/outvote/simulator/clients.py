"""Simulated honest clients: the real client session under a workload, and what they saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

import msgspec

from outvote.client.config import SessionConfig
from outvote.client.session import Answered, Failed, Session
from outvote.core.committee import Committee
from outvote.errors import Lie, Mistake, Refused
from outvote.machines.interface import Interface
from outvote.simulator.checkers.linearizability import Operation
from outvote.simulator.checkers.violation import Violation
from outvote.simulator.plan import Plan
from outvote.simulator.seals import SealRegistry
from outvote.simulator.workload import Call, Workload
from outvote.types import NEVER, SECOND, ClientId, Nanos, Position, ReplicaId
from outvote.wire.client_messages import ReplyStatement, Submit, ToClient, ToReplica

CONFIG = SessionConfig(retry_ns=SECOND // 2, retry_max_ns=2 * SECOND, timeout_ns=10_000 * SECOND)


class SimulatedClient:
    """Keeps `outstanding` operations going until it has done its share."""

    def __init__(
        self,
        client: ClientId,
        plan: Plan,
        committee: Committee,
        workload: Workload,
        interface: Interface,
        registry: SealRegistry,
        send: Callable[[ClientId, ReplicaId, ToReplica], None],
        requested: Callable[[ClientId, int, tuple[bytes, ...]], None],
        answered: Callable[[ClientId, ReplyStatement], None],
        reading: Callable[[ClientId, int], None],
        read: Callable[[ClientId, ReplyStatement], None],
        log: Callable[[str], None],
    ) -> None:
        self.client = client
        self._log = log
        self._rng = Random(plan.seed * 1000 + client)
        self._workload = workload
        self._outstanding = plan.outstanding
        self._to_start = plan.operations_each
        self._pause_max = plan.pause_max
        self._next_at: Nanos = 0  # not before this, so that the work is spread over the faults
        self._interface = interface
        self._send = send
        self._requested = requested
        self._answered = answered
        self._reading = reading
        self._read = read
        config = msgspec.structs.replace(CONFIG, retry_ns=plan.client_retry, reads=plan.reads)
        self._receipts = plan.receipts
        self._read_positions: dict[int, Position] = {}
        self._last_requested = 0
        self.session = Session(client, committee, registry.sealer(client), registry, config)
        for replica in range(plan.n):
            self.session.connected(replica)
        self._open: dict[int, tuple[list[Call], Nanos]] = {}
        self.history: list[tuple[int, Operation]] = []  # each with its request's number

    @property
    def finished(self) -> bool:
        return not self._open and not self._to_start

    def waits_since(self) -> Nanos | None:
        """When the oldest request that is not answered was issued; None if there is none."""
        return min((called for _, called in self._open.values()), default=None)

    def start(self, now: Nanos) -> Nanos:
        """Issue what may be issued, send what is due; returns the next deadline."""
        while self._to_start and len(self._open) < self._outstanding and now >= self._next_at:
            if self._pause_max:
                self._next_at = now + self._rng.randrange(self._pause_max)
            count = min(self._to_start, self._rng.choice((1, 1, 3)))
            calls = [self._workload.draw(self.client, self._rng) for _ in range(count)]
            self._to_start -= len(calls)
            self._issue(calls, now)
        return self._flush(now)

    def do_more(self, operations: int, now: Nanos) -> Nanos:
        """So many besides those it was to do; returns the next deadline."""
        self._to_start += operations
        return self.start(now)

    def call(self, calls: list[Call], now: Nanos) -> Nanos:
        """Issue one request by hand, as scripts do; returns the next deadline."""
        self._issue(calls, now)
        return self._flush(now)

    def _issue(self, calls: list[Call], now: Nanos) -> None:
        operations = [self._interface.encode(*call) for call in calls]
        if all(self._interface.command(name).fast for name, _ in calls):
            number = self.session.read(operations, now)
            if number < 0:
                self._reading(self.client, number)
        else:
            number = self.session.submit(operations, now, self._receipts)
        self._open[number] = (calls, now)

    def tick(self, now: Nanos) -> Nanos:
        self._settle(self.session.tick(now), now)
        return self.start(now)

    def receive(self, replica: ReplicaId, message: ToClient, now: Nanos) -> Nanos:
        self._settle(self.session.receive(replica, message, now), now)
        return self.start(now)

    def hung_up(self, replica: ReplicaId, now: Nanos) -> Nanos:
        """The connection to this replica has ended, and there is another one."""
        self.session.disconnected(replica)
        self.session.connected(replica)
        return self._flush(now)

    def _flush(self, now: Nanos) -> Nanos:
        for replica, message in self.session.take_outgoing():
            if isinstance(message, Submit) and message.request.number > self._last_requested:
                # Reads that were not agreed on become requests somewhere inside the session.
                self._last_requested = message.request.number
                self._requested(self.client, message.request.number, message.request.operations)
            self._send(self.client, replica, message)
        return min(self.session.next_deadline(), self._next_at if self._to_start and self._next_at > now else NEVER)

    def _settle(self, outcomes: Sequence[Answered | Failed], now: Nanos) -> None:
        for outcome in outcomes:
            calls, called = self._open.pop(outcome.number)
            if isinstance(outcome, Failed):
                self.history += [(outcome.number, Operation(self.client, called, None, call)) for call in calls]
                continue
            number = outcome.statement.number
            if number < 0:
                self._read_positions[number] = outcome.statement.position
                self._read(self.client, outcome.statement)
            else:
                self._answered(self.client, outcome.statement)
            answered = zip(calls, outcome.statement.results, strict=True)
            for index, ((name, args), encoded) in enumerate(answered):
                try:
                    result = self._interface.decode(name, encoded)
                except (Refused, Mistake, Lie) as error:
                    raise Violation("validity", f"client {self.client} got {error!r} for {name}{args}") from error
                self._workload.learned(self.client, (name, args), result)
                self._log(f"#{number} {' '.join(map(str, (name, *args)))} = {result}")
                plain = self._workload.plain((name, args), result)
                entry = Operation(self.client, called, now, (name, args), plain, index)
                self.history.append((number, entry))

    def read_at(self, number: int) -> Position | None:
        """On the state of which position a read was answered."""
        return self._read_positions.get(number)

    def unfinished(self) -> list[tuple[int, Operation]]:
        """What was called and not answered: it may have taken effect, or not."""
        return [
            (number, Operation(self.client, called, None, call))
            for number, (calls, called) in self._open.items()
            for call in calls
        ]
