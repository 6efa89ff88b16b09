"""One replica of the simulated world: the real turn over a simulated disk, clock and network, that can crash.

A crash is an exception thrown out of a port call - a send, an append, an answer - so it falls between any two steps
of the drain. The disk outlives it; everything else is made anew.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from outvote.core.contract import Delivery, Request, Struct
from outvote.errors import Lie
from outvote.host.turn import Turn
from outvote.host.voice import Voice
from outvote.machines.executor import Executor
from outvote.simulator.adversaries.behaviour import TraitorVoice
from outvote.simulator.adversaries.catalogue import behaviour
from outvote.simulator.checkers.violation import Violation
from outvote.simulator.clocks import SkewedClock
from outvote.simulator.disk import SimulatedDisk
from outvote.storage.contract import Recovered, Ticket
from outvote.types import FIRST_CLIENT, NEVER, ClientId, Digest, Nanos, PartyId, Position, ReplicaId, Seal
from outvote.wire.client_messages import ReplyStatement, ToClient

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outvote.simulator.world import World


class Crashed(Exception):
    """The process is gone in the middle of what it did."""


class WatchedExecutor(Executor):
    """Tells the checkers what an honest replica executes."""

    __slots__ = ("_replica",)

    def __init__(self, replica: SimulatedReplica) -> None:
        super().__init__(replica.world.machine())
        self._replica = replica

    def deliver(self, delivery: Delivery) -> list[ReplyStatement]:
        replies = super().deliver(delivery)
        self._replica.delivered(delivery, replies, self.history)
        return replies

    def install(self, data: bytes) -> None:
        super().install(data)
        self._replica.installed(self.position, self.history)


class CrashingDisk(SimulatedDisk):
    """Every append is a place to crash, before and after; every record is shown to the checkers."""

    replica: SimulatedReplica

    def append(self, records: Sequence[bytes], notes: Sequence[bytes]) -> Ticket:
        self.replica.port_call()
        self.replica.recorded([*records, *notes])
        ticket = super().append(records, notes)
        self.replica.port_call()
        return ticket

    def recover(self) -> Recovered:
        torn = self.torn_tails
        recovered = super().recover()
        self.replica.world.mark("torn tails", self.torn_tails - torn)
        return recovered

    def keep(self, position: Position, digest: Digest, snapshot: bytes, head: Sequence[bytes]) -> None:
        self.replica.port_call()
        super().keep(position, digest, snapshot, head)
        self.replica.kept()


class SimulatedReplica:
    """Implements the Network and Observer ports for its own turn."""

    def __init__(self, world: World, me: ReplicaId) -> None:
        self.world = world
        self.me = me
        self.honest = me not in world.liars
        plan, rng = world.plan, world.rng
        self.clock = SkewedClock(
            lambda: world.now,
            rng.randint(-plan.clock_offset_max, plan.clock_offset_max),
            rng.randint(-plan.clock_drift_ppm_max, plan.clock_drift_ppm_max),
        )
        self.disk = CrashingDisk(me, Random(rng.random()), world.after, plan.sync_max)
        self.disk.replica = self
        self.turn: Turn | None = None
        self.crashes = 0
        self.counts: dict[str, int] = {}
        self._liar_rng = Random(rng.random())
        self._crash_in = 0  # port calls until the crash; 0 for none ordered
        self._crash_in_after_keep = 0  # the same, counted from the next checkpoint kept; 0 for none ordered
        self._poked = False
        self._recovering = False
        self._wake: Nanos = NEVER

    # ------------------------------------------------------------------ life

    def start(self) -> None:
        """Begin, or begin again from the disk; nothing if it is up."""
        if self.turn is not None:
            return
        world = self.world
        core = world.protocol.make(self.me, world.committee, world.plan.parameters)
        voice = Voice(self.me, world.plan.n, world.registry.sealer(self.me), world.codec, self)
        for liar, names in world.plan.liars:
            if liar == self.me:
                sins = [behaviour(name, self._liar_rng, world.protocol, world.plan.n) for name in names]
                voice = TraitorVoice.over(voice, sins)
        self.turn = Turn(
            core, WatchedExecutor(self), protocol=world.protocol.name, codec=world.codec, records=world.records,
            voice=voice, opener=world.registry, disk=self.disk, clock=self.clock, observer=self,
        )
        self.disk.on_durable = self.poke
        if self.honest:
            world.check.order.restarted(self.me, 0)
        world.log(str(self.me), "starts")
        self._recovering = True
        self._guard(self.turn.recover)
        self._recovering = False
        self.poke()

    def crash_after(self, calls: int) -> None:
        if self.turn is not None and not self._crash_in:
            self._crash_in = calls

    def crash_behind_checkpoint(self, calls: int) -> None:
        self._crash_in_after_keep = calls

    def kept(self) -> None:
        """A stable checkpoint was stored, and the log began anew."""
        self.world.mark("stable checkpoints")
        self._crash_in = self._crash_in or self._crash_in_after_keep
        self._crash_in_after_keep = 0

    def no_more_crashes(self) -> None:
        self._crash_in = self._crash_in_after_keep = 0

    def port_call(self) -> None:
        """One step of the drain; perhaps the last."""
        if self._crash_in:
            self._crash_in -= 1
            if not self._crash_in:
                raise Crashed

    def _guard(self, action: object, *arguments: object) -> None:
        assert callable(action)
        try:
            action(*arguments)
        except Crashed:
            self.crash()

    def crash(self) -> None:
        """The process is gone, if it was there."""
        if self.turn is None:
            return
        self.crashes += 1
        self.world.mark("crashes")
        self._crash_in = 0
        self.turn = None
        self._wake = NEVER
        self.disk.crash()
        self.world.log(str(self.me), "crashes")

    def poke(self) -> None:
        """Something came in: one turn, once, at this instant."""
        if not self._poked and self.turn is not None:
            self._poked = True
            self.world.after(0, self._run)

    def _run(self) -> None:
        self._poked = False
        self._guard(self._run_turn)

    def _run_turn(self) -> None:
        turn = self.turn
        if turn is None:
            return
        wake_at = turn.run()
        if self.honest:
            self.world.check.monotonic.stands(self.me, turn.core.standing(), self.disk.settled)
        self._arm(wake_at)

    def _arm(self, wake_at: Nanos) -> None:
        if wake_at >= NEVER:
            return
        at = self.world.now + self.clock.true_delay(max(0, wake_at - self.clock.now()))
        if at < self._wake:
            self._wake = at
            self.world.after(at - self.world.now, lambda: self._woken(at))

    def _woken(self, at: Nanos) -> None:
        if self._wake == at:
            self._wake = NEVER
            self.poke()

    def describe(self) -> str:
        if self.turn is None:
            return "down"
        standing = self.turn.core.standing()
        return f"view {standing.view} position {standing.position} waiting {standing.waiting} {standing.note}"

    # ------------------------------------------------------------------ inputs

    def hear(self, sender: ReplicaId, body: bytes) -> None:
        if self.turn is None:
            return
        self.world.trace.heard(self.world.now, self.me, sender, body)
        try:
            self.turn.hear(sender, body)
        except Lie as lie:
            self.lie(sender, "frame", str(lie))
        if isinstance(self.turn.voice, TraitorVoice):
            self._guard(self.turn.voice.overhear, body)
        self.poke()

    def request(self, client: ClientId, request: Request) -> None:
        self._guard(self._request, client, request)

    def _request(self, client: ClientId, request: Request) -> None:
        if self.turn is not None:
            refusal = self.turn.request(client, request)
            if refusal is not None:
                self.answer(client, refusal)
            self.poke()

    # ------------------------------------------------------------------ ports

    def send(self, receiver: ReplicaId, body: bytes) -> None:
        self.port_call()
        self.world.trace.sent(self.world.now, self.me, receiver, body)
        self.world.send(self.me, receiver, body)

    def answer(self, client: ClientId, message: ToClient) -> None:
        self.port_call()
        self.world.answer(self.me, client, message)

    def count(self, what: str, amount: int = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + amount

    def lie(self, party: PartyId, kind: str, text: str) -> None:
        self.count(f"lie:{kind}")
        self.world.mark("lies dropped")
        if self.honest and party not in self.world.liars:
            # Only liars may ever be heard lying: a correct replica or client says nothing that another must drop.
            raise Violation("no false lies", f"replica {self.me} took for a lie of honest {party}: {text}")
        self.world.log(str(self.me), f"lie of {party}: {text}")

    def evidence(self, party: ReplicaId, first: tuple[Struct, Seal], second: tuple[Struct, Seal]) -> None:
        self.count("convicted")
        self.world.mark("evidence found")
        self.world.log(str(self.me), f"evidence against {party}")
        if party not in self.world.liars:
            self.world.accused_wrongly(party, first[0], second[0])

    def note(self, text: str) -> None:
        self.world.log(str(self.me), text)

    def checkpoint(self, position: Position, digest: bytes) -> None:
        if self.honest:
            self.world.check.digests.told("state", self.me, position, digest)

    # ------------------------------------------------------------------ what the checkers see

    def delivered(self, delivery: Delivery, replies: list[ReplyStatement], history: Digest) -> None:
        requests = " ".join(f"{one.client - FIRST_CLIENT}#{one.number}" for one in delivery.requests)
        self.world.log(str(self.me), f"delivers {delivery.position} [{requests}]")
        if any(one.position != delivery.position for one in replies) or len(replies) < len(delivery.requests):
            self.world.mark("requests ordered twice")
        if self.honest:
            self.world.check.order.delivered(self.me, delivery)
            self.world.check.exactly_once.executed(self.me, delivery, replies)
            self.world.check.digests.told("history", self.me, delivery.position, history)

    def installed(self, position: Position, history: Digest) -> None:
        self.world.log(str(self.me), f"installs the state of {position}")
        if not self._recovering:
            self.world.mark("states fetched")
        if self.honest:
            self.world.check.order.restarted(self.me, position)
            self.world.check.digests.told("history", self.me, position, history)

    def recorded(self, bodies: list[bytes]) -> None:
        world = self.world
        world.trace.recorded(world.now, self.me, bodies)
        if self.honest:
            for body in bodies:
                record = world.records.decode(body)
                world.check.certificates.recorded(self.me, record)
                for mark in world.protocol.marks(record):
                    world.mark(mark)
