"""A whole cluster in one thread, one heap of events and one seed: the same turn, the same cores, no real time.

Everything random comes from the plan's seed; events at one instant run in the order in which they were scheduled.
So a seed is a run, in any process and under any PYTHONHASHSEED, and `trace_digest` says so.

A replica has a place (where it is in the network) and an identity (whose key it holds). They differ only for twins:
two places that hold one key.
"""

from __future__ import annotations

import gc
import heapq
from collections.abc import Callable, Sequence
from functools import partial
from random import Random

import msgspec

from outvote.core.committee import Committee, Tolerates
from outvote.core.contract import Request, Struct
from outvote.errors import Lie, Mistake, Refused
from outvote.host.turn import Turn
from outvote.machines.interface import describe
from outvote.machines.state_transfer import TRANSFER_MESSAGES
from outvote.protocols.catalogue import Protocol
from outvote.simulator.adversaries.adaptive import Adaptive
from outvote.simulator.adversaries.client_catalogue import false_client
from outvote.simulator.adversaries.false_client import ClientPowers, FalseClient
from outvote.simulator.adversaries.powers import Ring
from outvote.simulator.checkers.catalogue import CHECKERS
from outvote.simulator.checkers.checker import Checker, Scene, Watch
from outvote.simulator.checkers.linearizability import Operation, Outcome
from outvote.simulator.checkers.order import Order
from outvote.simulator.checkers.violation import Violation
from outvote.simulator.chronicler import Chronicler
from outvote.simulator.clients import SimulatedClient
from outvote.simulator.faults import Faults
from outvote.simulator.liveness import Liveness
from outvote.simulator.network import FRAME_BYTES, SimulatedNetwork
from outvote.simulator.plan import Plan, Sins
from outvote.simulator.rejuvenation import Mover, Rejuvenation
from outvote.simulator.replica import SimulatedReplica
from outvote.simulator.rounds import Rounds
from outvote.simulator.seals import RealSealRegistry, SealRegistry
from outvote.simulator.trace import Trace
from outvote.simulator.workload import Call, StoreWorkload, Workload
from outvote.types import FIRST_CLIENT, NEVER, SECOND, ClientId, Nanos, PartyId, Position, ReplicaId, View
from outvote.wire.client_messages import OPERATIONS_MAX, Read, Refusal, ReplyStatement, Submit, ToClient, ToReplica
from outvote.wire.codec import Codec, RecordCodec

EVENTS_MAX = 2_000_000  # a run takes some ten thousand; more is a storm


class ScheduledCommittee(Committee):
    """Its first views are led as a plan says."""

    __slots__ = ("_leaders",)

    def __init__(self, n: int, leaders: tuple[ReplicaId, ...], tolerates: Tolerates = "lies") -> None:
        super().__init__(n, tolerates)
        self._leaders = leaders

    def leader(self, view: View) -> ReplicaId:
        return self._leaders[view] if 0 <= view < len(self._leaders) else view % self.n


class World:
    """One run. `run` raises Violation if an invariant breaks, and returns when all clients are done."""

    def __init__(
        self, plan: Plan, protocol: Protocol, keep_trace: bool = False, workload: Workload | None = None,
        trace: type[Trace] = Trace, checkers: Sequence[type[Checker]] = CHECKERS, chronicle: bool = False,
    ) -> None:
        self.plan = plan
        self.protocol = protocol
        self.now: Nanos = 0
        self.committee = (
            ScheduledCommittee(plan.n, plan.leaders, protocol.tolerates) if plan.leaders
            else Committee(plan.n, protocol.tolerates)
        )
        self.marks: dict[str, int] = {}  # what this run went through; a batch of runs must have seen everything
        self.registry = self._make_registry()
        self.liars: set[PartyId] = {replica for replica, _ in plan.liars}
        self.liars.update(FIRST_CLIENT + plan.clients + index for index in range(len(plan.false_clients)))
        self.workload = workload if workload is not None else StoreWorkload(plan.keys, plan.large)
        self.scene = scene = Scene(
            plan, protocol, self.committee, self.registry, self.liars, lambda: self.now, self.mark,
            self.workload.machine, lambda me: self.replicas[me].disk.durable, self.honest_turns,
        )
        self.order = Order(scene)
        self.watch = Watch([self.order, *(kind(scene) for kind in checkers if kind is not Order)])
        self.registry.on_seal = self.said
        self.codec = Codec((*protocol.messages, *TRANSFER_MESSAGES), epoch=0, sealing=protocol.seals)
        self.records = RecordCodec(protocol.records)
        self.rounds = Rounds(plan, protocol.round_of, self.codec, lambda: self.now)
        self.trace = trace(self.codec, self.records, keep_trace)
        self._heap: list[tuple[Nanos, int, Callable[[], None]]] = []
        self._scheduled = 0
        self.events = 0
        self.delivered = 0  # messages between replicas that reached one that was up
        self.healed = False
        self.network = SimulatedNetwork(plan, plan.seed, lambda: self.now, self.after)
        self.faults = Faults(self)
        self.liveness = Liveness(self, self._stuck)
        self.ring = Ring()
        identities = [*range(plan.n), *plan.twins]
        self.places = [tuple(place for place, one in enumerate(identities) if one == me) for me in range(plan.n)]
        self.replicas = [SimulatedReplica(self, place, me) for place, me in enumerate(identities)]
        self._interface = describe(self.workload.machine)
        self.clients = [self._make_client(FIRST_CLIENT + index) for index in range(plan.clients)]
        self._overheard: list[Request] = []
        self._drawn: dict[bytes, Call] = {}  # what lying clients may have had executed
        # What they did, by request: each operation and its outcome.
        self.had_executed: dict[tuple[ClientId, int], tuple[tuple[bytes, bytes], ...]] = {}
        self._lies: dict[str, None] = {}  # what kinds of lies were really told
        self.false_clients = [
            self._make_false_client(FIRST_CLIENT + plan.clients + index, sins)
            for index, sins in enumerate(plan.false_clients)
        ]
        self.adaptive = Adaptive(self, plan.adaptive)
        self.mover = Mover(self, plan.mover)
        self.rejuvenation = Rejuvenation(self, plan.rejuvenation)
        self._listened: tuple[ReplicaId, bytes] = 0, b""  # what was said last
        self._client_wake: dict[ClientId, Nanos] = {}
        self._hung_up: list[int] = [0] * plan.n  # how often the clients' connections to each replica have ended
        self.chronicler: Chronicler | None = None
        if chronicle:
            self.chronicler = Chronicler(self)
            self.chronicler.begin()

    def _make_registry(self) -> SealRegistry:
        if self.plan.parameters.get("real_threshold"):
            self.mark("real threshold keys")
        if not self.plan.real_seals:
            return SealRegistry(self.plan.seed)
        self.mark("real seals")
        clients = self.plan.clients + len(self.plan.false_clients)
        return RealSealRegistry(self.plan.seed, [*range(self.plan.n), *range(FIRST_CLIENT, FIRST_CLIENT + clients)])

    def _make_client(self, client: ClientId) -> SimulatedClient:
        return SimulatedClient(
            client, self.plan, self.committee, self.workload, self._interface, self.registry, self._to_replica,
            self._requested, self._answered, self._reading, self._read, lambda text: self._client_says(client, text),
        )

    def _make_false_client(self, client: ClientId, sins: Sins) -> list[FalseClient]:
        rng = Random(self.plan.seed * 1000 + client)

        def draw() -> bytes:
            call = self.workload.draw(client, rng)
            operation = self._interface.encode(*call)
            self._drawn[operation] = call
            return operation

        powers = ClientPowers(
            client, self.plan.n, rng, self.registry.sealer(client), self._interface, draw,
            lambda replica, message: self._to_replica(client, replica, message), lambda: self.now, self.after,
            self._overheard,
        )
        return [false_client(sin, powers) for sin in sins]

    def honest_turns(self) -> list[Turn]:
        return [one.turn for one in self.replicas if one.turn is not None and one.honest]

    def chance(self, place: int, what: str) -> Random:
        """A stream of random numbers for one purpose at one place; no other purpose draws from it."""
        return Random(f"{self.plan.seed} {place} {what}")

    # ------------------------------------------------------------------ time

    def after(self, delay: Nanos, action: Callable[[], None]) -> None:
        self._scheduled += 1
        heapq.heappush(self._heap, (self.now + delay if delay > 0 else self.now, self._scheduled, action))

    def log(self, who: str, what: str) -> None:
        """One line of the trace."""
        self.trace.line(self.now, who, what)
        if self.chronicler is not None:
            self.chronicler.logged(who, what)

    def _client_says(self, client: ClientId, text: str) -> None:
        self.log(f"c{client - FIRST_CLIENT}", text)
        if self.chronicler is not None:
            self.chronicler.answered(client, text)

    def mark(self, what: str, amount: int = 1) -> None:
        """This run went through one more of these."""
        if amount:
            self.marks[what] = self.marks.get(what, 0) + amount

    def trace_digest(self) -> str:
        return self.trace.digest()

    def run(self) -> None:
        """Safety phase with faults, then heal and demand that every operation completes."""
        for fault in self.plan.faults:
            self.after(fault.at, partial(self.faults.strike, fault))
        self.after(self.plan.faults_end, self._heal)
        # A world makes little garbage that refers to itself, and looking for it takes a tenth of a run.
        collects = gc.isenabled()
        gc.disable()
        try:
            self.start()
            self._go_on()
        finally:
            if collects:
                gc.enable()
        if not self._done():
            raise Violation("liveness", self._stuck())
        self._mark_lies()
        for told in self.watch.finished:
            told()
        self._judge_history()

    def _go_on(self) -> None:
        heap, next_event, deadline = self._heap, heapq.heappop, self.plan.deadline
        while heap and not (self.healed and self._done()):
            self.now, _, action = next_event(heap)
            if self.now > deadline or self.events > EVENTS_MAX:
                raise Violation("liveness", self._stuck())
            self.events += 1
            action()

    def start(self) -> None:
        for replica in self.replicas:
            replica.start()
        for client in self.clients:
            self._client_woke(client, client.start(self.now))
        for sins in self.false_clients:
            for sin in sins:
                sin.begin()
        self.adaptive.begin()
        self.mover.begin()
        self.rejuvenation.begin()

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
        behind: dict[Position, int] = {}  # a position's last operation, and what reads its state
        history: list[Operation] = []
        for position, (_, requests) in sorted(self.order.decided.items()):
            for client_id, number, _ in requests:
                place.setdefault((client_id, number), len(place) * OPERATIONS_MAX)
            behind[position] = len(place) * OPERATIONS_MAX - 1

        def hint(client: SimulatedClient, number: int) -> int:
            read_at = client.read_at(number)
            return place.get((client.client, number), 0) if read_at is None else behind.get(read_at, 0)

        # What a lying client saw is not asked, but what it did may be seen by others.
        history += [
            self._done_by_liar(client_id, self._drawn[one], outcome, place[client_id, number] + index)
            for (client_id, number), outcomes in self.had_executed.items()
            for index, (one, outcome) in enumerate(outcomes) if one in self._drawn
        ]
        history += [
            entry._replace(hint=hint(client, number) + (entry.hint if number > 0 else 0))
            for client in self.clients
            for number, entry in client.history + client.unfinished()
        ]
        verdict = self.workload.judge(history)
        if verdict.outcome is not Outcome.LINEARIZABLE:
            raise Violation("linearizability", verdict.text)

    def tell_lie(self, what: str) -> None:
        """A liar really did this, at least once."""
        self._lies[what] = None

    def _mark_lies(self) -> None:
        for sins, names in zip(self.false_clients, self.plan.false_clients, strict=True):
            for sin, name in zip(sins, names, strict=True):
                if sin.lies:
                    self.tell_lie(f"client lie: {name}")
        for what in self._lies:
            self.mark(what)

    def _done_by_liar(self, client: ClientId, call: Call, outcome: bytes, hint: int) -> Operation:
        """At some time of the run, with the outcome that honest replicas agree on: what is known to have happened need
        not be guessed, and guessing takes a time that doubles with every operation."""
        try:
            result = self.workload.plain(call, self._interface.decode(call[0], outcome))
        except (Refused, Mistake, Lie):
            return Operation(client, 0, None, call, hint=hint)
        return Operation(client, 0, self.now, call, result, hint)

    # ------------------------------------------------------------------ faults

    def _heal(self) -> None:
        """From here on only liars disturb the core."""
        self.log("world", "heals")
        self.healed = True
        self.rounds.heal()
        self.faults.heal_world()
        self.scene.left_behind.update(self.replicas[place].me for place in self.faults.left_behind)
        for told in self.watch.healed:
            told()
        for client in self.clients:
            self._client_woke(client, client.do_more(self.plan.operations_after, self.now))
        self.liveness.begin([place for place in range(len(self.replicas)) if place not in self.faults.left_behind])

    def corrupt(self, replica: ReplicaId, sins: Sins) -> None:
        """From now on this identity lies. Raises ValueError if more than f would: no guarantee holds then."""
        if self.faults.affects_too_many(replica):
            raise ValueError(f"replica {replica} would be one liar too many")
        self.liars.add(replica)
        self.log("world", f"corrupts {replica}: {'+'.join(sins)}")
        for place in self.places[replica]:
            self.replicas[place].corrupt(sins)

    def free(self, replica: ReplicaId) -> None:
        """This identity is honest again, and has recovered: its place has no sins any more."""
        self.liars.discard(replica)
        self.log("world", f"{replica} is honest again")

    def count_as_liar(self, replica: ReplicaId, why: str) -> None:
        """It does as it is told, but may contradict itself: no checker holds it to anything from now on."""
        self.liars.add(replica)
        self.log("world", f"{replica} {why}")

    # ------------------------------------------------------------------ messages

    def send(self, sender: SimulatedReplica, receiver: ReplicaId, body: bytes) -> None:
        """From a place to every place of an identity."""
        self._listen(sender.me, body)
        for place in self.places[receiver]:
            self._carry(sender, self.replicas[place], body)

    def _carry(self, sender: SimulatedReplica, receiver: SimulatedReplica, body: bytes) -> None:
        if self.rounds.active and not self.rounds.carries(sender.place, receiver.place, body):
            self.mark("messages kept on their side")
            return
        self._hand_over(sender.place, receiver.place, body, partial(receiver.hear, sender.me, body))

    def _hand_over(
        self, sender: int, receiver: int, said: bytes | Request | Read | ToClient, deliver: Callable[[], None]
    ) -> None:
        """To the network; parties are places or clients."""
        if self.chronicler is None:
            self.network.carry(sender, receiver, deliver, len(said) if isinstance(said, bytes) else FRAME_BYTES)
        else:
            self.chronicler.carry(sender, receiver, said, deliver)

    def _listen(self, sender: ReplicaId, body: bytes) -> None:
        """What carries no seal is noted here: who really said it, and that honest replicas say one thing only. A
        broadcast comes here once a receiver and is looked at once."""
        if body is self._listened[1] and sender == self._listened[0]:
            return
        self._listened = sender, body
        try:
            message, _ = self.codec.decode(body)
        except Lie:
            return
        if not self.codec.seals(message):
            statement = message.statement()
            self.registry.speak(sender, statement)
            self.said(sender, statement)

    def said(self, party: PartyId, statement: Struct) -> None:
        for told in self.watch.said:
            told(party, statement)

    def answer(self, sender: SimulatedReplica, client: ClientId, message: ToClient) -> None:
        index = client - FIRST_CLIENT
        if 0 <= index < len(self.clients):
            heard, connection = self.clients[index], self._hung_up[sender.me]

            def deliver() -> None:
                if self._hung_up[sender.me] == connection:
                    self._client_hears(heard, sender.me, message)

            self._hand_over(sender.place, client, message, deliver)
        elif 0 <= index - len(self.clients) < len(self.false_clients):
            sins = self.false_clients[index - len(self.clients)]
            self._hand_over(sender.place, client, message, lambda: _tell(sins, sender.me, message))

    def hang_up(self, replica: ReplicaId) -> None:
        """The clients' connections to it end, with what is on its way to them."""
        self._hung_up[replica] += 1
        for client in self.clients:
            self._client_woke(client, client.hung_up(replica, self.now))

    def _to_replica(self, client: ClientId, receiver: ReplicaId, message: ToReplica) -> None:
        if isinstance(message, Read):
            for place in self.places[receiver]:
                self._carry_read(client, self.replicas[place], message)
        elif isinstance(message, Submit):
            request = message.request
            if self.false_clients and client not in self.liars:
                self._overheard.append(request)
            for place in self.places[receiver]:
                self._carry_request(client, self.replicas[place], request)

    def _carry_request(self, client: ClientId, replica: SimulatedReplica, request: Request) -> None:
        self._hand_over(client, replica.place, request, lambda: replica.request(client, request))

    def _carry_read(self, client: ClientId, replica: SimulatedReplica, read: Read) -> None:
        self._hand_over(client, replica.place, read, lambda: replica.read(client, read))

    def _requested(self, client: ClientId, number: int, operations: tuple[bytes, ...]) -> None:
        if self.chronicler is not None:
            self.chronicler.requested(client, number, operations)
        if self.false_clients:  # one of them may repeat it
            for one in operations:
                name, arguments = msgspec.msgpack.decode(one)
                self._drawn[one] = name, tuple(arguments)
        for told in self.watch.requested:
            told(client, number, operations)

    def _answered(self, client: ClientId, statement: ReplyStatement) -> None:
        for told in self.watch.answered:
            told(client, statement)

    def _reading(self, client: ClientId, number: int) -> None:
        for told in self.watch.reading:
            told(client, number)

    def _read(self, client: ClientId, statement: ReplyStatement) -> None:
        self.mark("reads beside the order")
        for told in self.watch.read:
            told(client, statement)

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


def _tell(sins: Sequence[FalseClient], replica: ReplicaId, message: ToClient) -> None:
    for sin in sins:
        sin.heard(replica, message)
