"""A whole cluster in one thread, one heap of events and one seed: the same turn, the same cores, no real time.

Everything random comes from the plan's seed; events at one instant run in the order in which they were scheduled.
So a seed is a run, in any process and under any PYTHONHASHSEED, and `trace_digest` says so.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from random import Random

from outvote.core.committee import Committee
from outvote.core.contract import Claim, Record, Struct
from outvote.errors import Lie
from outvote.machines.interface import describe
from outvote.machines.key_value import KeyValueStore
from outvote.machines.machine import StateMachine
from outvote.machines.state_transfer import TRANSFER_MESSAGES
from outvote.protocols.catalogue import Protocol
from outvote.simulator.checkers.certificates import Certificates
from outvote.simulator.checkers.digests import Digests
from outvote.simulator.checkers.double_sign import DoubleSign
from outvote.simulator.checkers.exactly_once import ExactlyOnce
from outvote.simulator.checkers.linearizability import Outcome, check
from outvote.simulator.checkers.monotonic import Monotonic
from outvote.simulator.checkers.order import Order
from outvote.simulator.checkers.store_model import StoreModel
from outvote.simulator.checkers.violation import Violation
from outvote.simulator.clients import Call, SimulatedClient
from outvote.simulator.network import SimulatedNetwork
from outvote.simulator.plan import Fault, Plan
from outvote.simulator.replica import SimulatedReplica
from outvote.simulator.seals import SealRegistry
from outvote.simulator.trace import Trace
from outvote.types import FIRST_CLIENT, NEVER, SECOND, ClientId, Nanos, PartyId, ReplicaId
from outvote.wire.client_messages import OPERATIONS_MAX, Refusal, Submit, ToClient, ToReplica
from outvote.wire.codec import Codec, RecordCodec

EVENTS_MAX = 2_000_000  # a run takes some ten thousand; more is a storm


class Checkers:
    """Every invariant that is checked while a run goes on."""

    def __init__(self, protocol: Protocol, committee: Committee, registry: SealRegistry, liars: frozenset[PartyId]):
        self.order = Order()
        self.exactly_once = ExactlyOnce()
        self.digests = Digests()
        self.monotonic = Monotonic()
        self.double_sign = DoubleSign(liars)

        def parts(record: Record) -> list[tuple[list[Claim], int]]:
            return protocol.certificates(record, committee)

        self.certificates = Certificates(
            parts, lambda claim: registry.opens(claim) if claim.seal else registry.spoke(claim)
        )


class World:
    """One run. `run` raises Violation if an invariant breaks, and returns when all clients are done."""

    def __init__(
        self, plan: Plan, protocol: Protocol, keep_trace: bool = False, machine: type[StateMachine] = KeyValueStore,
        trace: type[Trace] = Trace,
    ) -> None:
        self.plan = plan
        self.protocol = protocol
        self.now: Nanos = 0
        self.rng = Random(plan.seed ^ 0x5EED)
        self.committee = Committee(plan.n)
        self.registry = SealRegistry(plan.seed)
        self.liars = frozenset(replica for replica, _ in plan.liars)
        self.check = Checkers(protocol, self.committee, self.registry, self.liars)
        self.registry.on_seal = self._on_seal
        self.codec = Codec((*protocol.messages, *TRANSFER_MESSAGES), epoch=0)
        self.records = RecordCodec(protocol.records)
        self.machine = machine
        self.trace = trace(self.codec, self.records, keep_trace)
        self.marks: dict[str, int] = {}  # what this run went through; a batch of runs must have seen everything
        self._heap: list[tuple[Nanos, int, Callable[[], None]]] = []
        self._scheduled = 0
        self.events = 0
        self.healed = False
        self.network = SimulatedNetwork(plan, Random(self.rng.random()), self.after)
        self.replicas = [SimulatedReplica(self, replica) for replica in range(plan.n)]
        self.clients = [self._make_client(FIRST_CLIENT + index) for index in range(plan.clients)]
        self._client_wake: dict[ClientId, Nanos] = {}

    def _make_client(self, client: ClientId) -> SimulatedClient:
        return SimulatedClient(
            client, self.plan, describe(self.machine), self.registry, self._to_replica, self.check.exactly_once.sent,
            lambda text: self.log(f"c{client - FIRST_CLIENT}", text),
        )

    # ------------------------------------------------------------------ time

    def after(self, delay: Nanos, action: Callable[[], None]) -> None:
        self._scheduled += 1
        heapq.heappush(self._heap, (self.now + max(0, delay), self._scheduled, action))

    def log(self, who: str, what: str) -> None:
        """One line of the trace."""
        self.trace.line(self.now, who, what)

    def mark(self, what: str, amount: int = 1) -> None:
        """This run went through one more of these."""
        if amount:
            self.marks[what] = self.marks.get(what, 0) + amount

    def trace_digest(self) -> str:
        return self.trace.digest()

    def run(self) -> None:
        """Safety phase with faults, then heal and demand that every operation completes."""
        for fault in self.plan.faults:
            self.after(fault.at, lambda fault=fault: self._fault(fault))  # type: ignore[misc]
        self.after(self.plan.faults_end, self._heal)
        self.start()
        while self._heap and not self._done():
            self.now, _, action = heapq.heappop(self._heap)
            if self.now > self.plan.deadline or self.events > EVENTS_MAX:
                raise Violation("liveness", self._stuck())
            self.events += 1
            action()
        if not self._done():
            raise Violation("liveness", self._stuck())
        self._judge_history()

    def start(self) -> None:
        for replica in self.replicas:
            replica.start()
        for client in self.clients:
            self._client_woke(client, client.start(self.now))

    def run_until(self, at: Nanos) -> None:
        """All events up to an instant, which then is now: for scripts, that step through a run."""
        while self._heap and self._heap[0][0] <= at:
            self.now, _, action = heapq.heappop(self._heap)
            self.events += 1
            action()
        self.now = at

    def call(self, client: int, calls: list[Call]) -> None:
        """A request made by hand; clients are counted from 0."""
        self._client_woke(self.clients[client], self.clients[client].call(calls, self.now))

    def _done(self) -> bool:
        return self.healed and all(client.finished for client in self.clients)

    def _stuck(self) -> str:
        missing = sum(len(client.unfinished()) for client in self.clients)
        standings = "; ".join(f"{one.me}: {one.describe()}" for one in self.replicas)
        waited = (self.now - self.plan.faults_end) / SECOND
        return f"{missing} operations without an answer {waited:.1f} s after healing; {standings}"

    def _judge_history(self) -> None:
        # The checker is told where each request stands in the order: it saves trying, and decides nothing.
        place: dict[tuple[ClientId, int], int] = {}
        for _, (_, requests) in sorted(self.check.order.decided.items()):
            for client_id, number, _ in requests:
                place.setdefault((client_id, number), len(place) * OPERATIONS_MAX)
        history = [
            entry._replace(hint=place.get((client.client, number), 0) + entry.hint)
            for client in self.clients
            for number, entry in client.history + client.unfinished()
        ]
        verdict = check(history, StoreModel())
        if verdict.outcome is not Outcome.LINEARIZABLE:
            raise Violation("linearizability", verdict.text)

    # ------------------------------------------------------------------ faults

    def _fault(self, fault: Fault) -> None:
        if fault.kind in ("cut", "heal"):
            self.log("world", f"{fault.kind} {fault.replica}->{fault.other}")
            (self.network.cut if fault.kind == "cut" else self.network.heal)(fault.replica, fault.other)
        elif fault.kind == "crash":
            self.replicas[fault.replica].crash_after(fault.other)
        elif fault.kind == "crash-kept":
            self.replicas[fault.replica].crash_behind_checkpoint(fault.other)
        else:
            self.replicas[fault.replica].start()

    def _heal(self) -> None:
        """From here on only liars disturb: links are whole, and everybody is up."""
        self.log("world", "heals")
        self.healed = True
        self.network.heal_all()
        for replica in self.replicas:
            replica.no_more_crashes()
            replica.start()

    # ------------------------------------------------------------------ messages

    def send(self, sender: ReplicaId, receiver: ReplicaId, body: bytes) -> None:
        replica = self.replicas[receiver]
        self._listen(sender, body)
        self.network.carry(sender, receiver, lambda: replica.hear(sender, body))

    def _listen(self, sender: ReplicaId, body: bytes) -> None:
        """What carries no seal is noted here: who really said it, and that honest replicas say one thing only."""
        try:
            message, _ = self.codec.decode(body)
        except Lie:
            return
        if not message.sealed:
            statement = message.statement()
            self.registry.speak(sender, statement)
            self.check.double_sign.sealed(sender, statement)

    def answer(self, sender: ReplicaId, client: ClientId, message: ToClient) -> None:
        index = client - FIRST_CLIENT
        if 0 <= index < len(self.clients):
            self.network.carry(sender, client, lambda: self._client_hears(self.clients[index], sender, message))

    def _to_replica(self, client: ClientId, receiver: ReplicaId, message: ToReplica) -> None:
        if isinstance(message, Submit):
            request = message.request
            self.network.carry(client, receiver, lambda: self.replicas[receiver].request(client, request))

    def _client_hears(self, client: SimulatedClient, sender: ReplicaId, message: ToClient) -> None:
        if isinstance(message, Refusal):
            self.log(f"c{client.client - FIRST_CLIENT}", f"refused by {sender}: {message.reason}")
        self._client_woke(client, client.receive(sender, message, self.now))

    def _client_woke(self, client: SimulatedClient, deadline: Nanos) -> None:
        if deadline >= NEVER or self._client_wake.get(client.client, NEVER) <= deadline:
            return
        self._client_wake[client.client] = deadline
        self.after(deadline - self.now, lambda: self._client_ticks(client, deadline))

    def _client_ticks(self, client: SimulatedClient, deadline: Nanos) -> None:
        if self._client_wake.get(client.client) != deadline:
            return
        del self._client_wake[client.client]
        self._client_woke(client, client.tick(self.now))

    def accused_wrongly(self, party: ReplicaId, first: Struct, second: Struct) -> None:
        raise Violation("evidence", f"honest replica {party} was convicted by {first} and {second}")

    def _on_seal(self, party: PartyId, statement: Struct) -> None:
        if party < FIRST_CLIENT:
            self.check.double_sign.sealed(party, statement)
