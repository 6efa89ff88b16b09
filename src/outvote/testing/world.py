"""The simulator's world, driven by calls of a test instead of by a plan.

The test makes the requests and most of the faults; in between, events run in virtual time until what it waits for has
happened. What every honest replica executes is kept, so that afterwards it can be executed once more, alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import ClassVar, Final

from outvote.client.session import Answered, Failed
from outvote.core.contract import Delivery
from outvote.errors import Unanswered
from outvote.machines.machine import StateMachine
from outvote.protocols.catalogue import Protocol
from outvote.simulator.checkers.catalogue import CHECKERS
from outvote.simulator.checkers.linearizability import Operation, Verdict
from outvote.simulator.checkers.reference import Reference
from outvote.simulator.checkers.violation import Violation
from outvote.simulator.clients import SimulatedClient
from outvote.simulator.plan import Plan
from outvote.simulator.workload import Call, Workload
from outvote.simulator.world import World
from outvote.testing.sameness import Sameness
from outvote.types import FIRST_CLIENT, MILLISECOND, ClientId, Digest, Nanos, Position, ReplicaId
from outvote.wire.client_messages import ReplyStatement

EVENTS_OF_ONE_WAIT_MAX = 1_000_000  # a minute of idling takes some thousand; more is a storm
STEP_NS = MILLISECOND  # how often it is looked whether a wait is over

# Reference takes it for granted that the class is deterministic, which is what is asked here; see history.py instead.
WATCHING: Final = tuple(checker for checker in CHECKERS if checker is not Reference)


class Submitted:
    """One operation that a test has handed to a client, and what became of it."""

    __slots__ = ("called", "client", "failure", "name", "number", "operation", "returned", "statement", "text")

    def __init__(self, client: ClientId, name: str, text: str, operation: bytes, called: Nanos) -> None:
        self.client = client
        self.name = name
        self.text = text  # deposit('ann', 5)
        self.operation = operation
        self.called = called
        self.number = 0
        self.returned: Nanos | None = None
        self.statement: ReplyStatement | None = None  # the accepted answer
        self.failure: Unanswered | None = None  # the replicas would not order it

    @property
    def open(self) -> bool:
        """Whether it still waits."""
        return self.statement is None and self.failure is None


class UsersWorkload(Workload):
    """The user's class and nothing else: operations come from the test, and the cluster judges them."""

    compared: ClassVar[bool] = False

    def draw(self, client: ClientId, rng: Random) -> Call:
        raise NotImplementedError("the operations of a test come from the test")

    def judge(self, history: Sequence[Operation]) -> Verdict:
        raise NotImplementedError("see testing/history.py")


class CallingClient(SimulatedClient):
    """A simulated client that asks what it is told to ask, and takes a refusal for an answer."""

    submitted: dict[int, Submitted]

    def submit(self, entry: Submitted, now: Nanos) -> Nanos:
        """Returns the next deadline. Raises Mistake if the operation is too large."""
        entry.number = self.session.submit([entry.operation], now)
        self.submitted[entry.number] = entry
        self._requested(self.client, entry.number, (entry.operation,))
        return self._flush(now)

    def _settle(self, outcomes: Sequence[Answered | Failed], now: Nanos) -> None:
        for outcome in outcomes:
            entry = self.submitted.pop(outcome.number)
            entry.returned = now
            if isinstance(outcome, Failed):
                entry.failure = outcome.error
            else:
                entry.statement = outcome.statement
                self._answered(self.client, outcome.statement)
            self._log(f"#{outcome.number} {entry.text} is answered")


class DrivenWorld(World):
    """`wait_for` lets time pass; `deliveries` is the agreed order, as the first honest replica executed it."""

    clients: list[SimulatedClient]

    def __init__(self, plan: Plan, protocol: Protocol, machine: type[StateMachine]) -> None:
        super().__init__(plan, protocol, workload=UsersWorkload(machine), checkers=WATCHING)
        self.deliveries: dict[Position, Delivery] = {}
        self.sameness = Sameness(machine, self.machine_of)
        # Behind the agreement checker, which comes first, and before those that only see digests.
        self.watch.delivered.insert(1, self._delivered)
        self.watch.installed.append(self._installed)

    def machine_of(self, replica: ReplicaId) -> StateMachine:
        """The state of a replica that is up."""
        turn = self.replicas[replica].turn
        assert turn is not None
        machine = turn.executor.machine
        assert isinstance(machine, StateMachine)
        return machine

    def add_client(self) -> CallingClient:
        client = self._make_client(FIRST_CLIENT + len(self.clients))
        self.clients.append(client)
        return client

    def _make_client(self, client: ClientId) -> CallingClient:
        made = CallingClient(
            client, self.plan, self.committee, self.workload, self._interface, self.registry, self._to_replica,
            self._requested, self._answered, self._reading, self._read, lambda text: self._client_says(client, text),
        )
        made.submitted = {}
        return made

    def submit(self, client: CallingClient, entry: Submitted) -> None:
        self._client_woke(client, client.submit(entry, self.now))

    def wait_for(self, happened: Callable[[], bool], until: Nanos) -> bool:
        """Let events run until something has happened, or the time has come. Returns whether it has."""
        most = self.events + EVENTS_OF_ONE_WAIT_MAX
        while not happened():
            if self.now >= until:
                return False
            self.run_until(min(until, self.now + STEP_NS))
            if self.events > most:
                raise Violation("liveness", f"{EVENTS_OF_ONE_WAIT_MAX} events and no end: replicas talk in circles")
        return True

    def end_faults(self) -> None:
        """Links are whole again and everybody is up; liars stay."""
        self._heal()

    def _delivered(
        self, replica: ReplicaId, delivery: Delivery, replies: list[ReplyStatement], history: Digest
    ) -> None:
        self.deliveries.setdefault(delivery.position, delivery)
        self.sameness.executed(replica, delivery, replies)

    def _installed(self, replica: ReplicaId, position: Position, history: Digest, from_disk: bool) -> None:
        self.sameness.installed(replica, position, from_disk)
