"""A replica played by the test: it hears everything, says what it is told to, and seals with its own key only."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from outvote.core.contract import Message
from outvote.protocols.catalogue import protocol
from outvote.protocols.pbft.replica import PbftReplica
from outvote.protocols.pbft.state import State
from outvote.simulator.plan import Fault, Plan
from outvote.simulator.replica import SimulatedReplica
from outvote.simulator.world import World
from outvote.types import SECOND, ReplicaId, Seal


class Puppet(SimulatedReplica):
    """`on_message` is called with everything that comes in; `say` speaks."""

    def __init__(self, world: World, me: ReplicaId) -> None:
        super().__init__(world, me, me)
        self.heard: list[tuple[ReplicaId, Message, Seal]] = []
        self.on_start: Callable[[], None] = _nothing
        self.on_message: Callable[[ReplicaId, Message], None] = _ignore

    def start(self) -> None:
        """It has no turn: nothing runs but what the test does."""
        self.on_start()

    def hear(self, sender: ReplicaId, body: bytes) -> None:
        message, seal = self.world.codec.decode(body)
        self.heard.append((sender, message, seal))
        self.on_message(sender, message)

    def seal(self, message: Message) -> Seal:
        return self.world.registry.sealer(self.me).seal(message.statement()) if self.world.codec.seals(message) else b""

    def say(self, receivers: Iterable[ReplicaId], *messages: Message) -> None:
        for message in messages:
            body = self.world.codec.encode(message, self.seal(message))
            for receiver in receivers:
                self.world.send(self, receiver, body)


def _nothing() -> None:
    """Says nothing of itself."""


def _ignore(_sender: ReplicaId, _message: Message) -> None:
    """Takes no notice."""


def plan(
    n: int = 4, operations: int = 6, liars: tuple[tuple[ReplicaId, tuple[str, ...]], ...] = (),
    faults: Iterable[Fault] = (), faults_end: int = 2 * SECOND, pause: int = 0, interval: int = 4,
) -> Plan:
    return Plan(
        seed=1, n=n, operations_each=operations, pause_max=pause, keys=2,
        parameters={"checkpoint_interval": interval, "window": 2 * interval, "batch_requests_max": 1},
        liars=liars, faults=tuple(sorted(faults)), faults_end=faults_end, deadline=faults_end + 30 * SECOND,
    )


def world_with_puppet(
    me: ReplicaId, chosen: Plan | None = None, name: str = "pbft"
) -> tuple[World, Puppet]:
    """A world in which replica `me` is the test's."""
    chosen = chosen if chosen is not None else plan()
    world = World(chosen.but(liars=((me, ()),)), protocol(name), keep_trace=True)
    puppet = Puppet(world, me)
    world.replicas[me] = puppet
    return world, puppet


def state_of(world: World, replica: ReplicaId) -> State:
    turn = world.replicas[replica].turn
    assert turn is not None
    assert isinstance(turn.core, PbftReplica)
    return turn.core.state


def others(world: World, me: ReplicaId) -> list[ReplicaId]:
    return [replica for replica in range(world.plan.n) if replica != me]


def told_lies(world: World, party: ReplicaId) -> list[str]:
    """What honest replicas noted of a party's lies."""
    mark = f"lie of {party}: "
    return [line.split(mark)[1] for line in world.trace.lines if mark in line]
