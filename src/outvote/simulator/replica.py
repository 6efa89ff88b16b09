"""One replica of the simulated world: the real turn over a simulated disk, clock and network, that can crash.

A crash is an exception thrown out of a port call - a send, an append, an answer - so it falls between any two steps
of the drain. The disk outlives it; everything else is made anew.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from outvote.core.contract import Claim, Core, Delivery, Job, Lost, Request, Struct
from outvote.errors import BrokenStorage, Lie, Rot
from outvote.host.client_gate import refusal_reason
from outvote.host.turn import Turn
from outvote.host.voice import Voice
from outvote.machines.executor import Executor, Snapshot
from outvote.machines.merkle_image import write_image
from outvote.machines.merkle_map import MerkleMap
from outvote.simulator.adversaries.behaviour import Behaviour, TraitorVoice
from outvote.simulator.adversaries.catalogue import behaviour
from outvote.simulator.adversaries.powers import Powers
from outvote.simulator.adversaries.sins import parse_sin
from outvote.simulator.checkers.violation import Violation
from outvote.simulator.clocks import SkewedClock
from outvote.simulator.disk import SimulatedDisk
from outvote.simulator.plan import Sins
from outvote.storage.contract import Recovered, Ticket
from outvote.types import FIRST_CLIENT, MILLISECOND, NEVER, ClientId, Digest, Nanos, PartyId, Position, ReplicaId, Seal
from outvote.wire.client_messages import Read, Refusal, Reply, ReplyStatement, ToClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from outvote.simulator.world import World


JOBS_TAKE_MS = (0, 0, 1, 3, 10)
PAUSED_INPUTS_MAX = 10_000  # some megabytes: what kernels buffer for a process


FORGETTING_NS: Nanos = 50 * MILLISECOND


class Crashed(Exception):
    """The process is gone in the middle of what it did."""


class WatchedExecutor(Executor):
    """Tells the checkers what an honest replica executes."""

    __slots__ = ("_replica",)

    def __init__(self, replica: SimulatedReplica) -> None:
        super().__init__(replica.world.workload.machine())
        self._replica = replica

    def committed(self, delivery: Delivery, replies: list[ReplyStatement]) -> None:
        self._replica.delivered(delivery, replies, self)

    def go_back(self, snapshot: Snapshot, deliveries: Sequence[Delivery]) -> None:
        self._replica.world.mark("tentative executions undone")
        super().go_back(snapshot, deliveries)

    def checkpoint(self) -> Snapshot:
        snapshot = super().checkpoint()
        self._replica.imaged(snapshot.position, snapshot.data)
        self._compare(snapshot)
        return snapshot

    def _compare(self, snapshot: Snapshot) -> None:
        """The leaves, of which only the touched ones were written, hold what the machine holds."""
        if not self._replica.world.workload.compared:
            return
        again = Executor(self._replica.world.workload.machine())
        again.install(snapshot.state)
        if self._replica.honest and again.machine.snapshot() != self.machine.snapshot():
            name, position = self._replica.name, snapshot.position
            raise Violation("snapshot bytes", f"the leaves of {name} at {position} are not its machine's state")

    def install(self, state: MerkleMap) -> None:
        super().install(state)
        self._replica.imaged(self.position, write_image(state))
        self._replica.installed(self.position, self.history)


class WatchedOpener:
    """Tells the checkers which seals an honest replica found genuine."""

    __slots__ = ("_replica",)

    def __init__(self, replica: SimulatedReplica) -> None:
        self._replica = replica

    def opens(self, claim: Claim) -> bool:
        replica = self._replica
        if not replica.world.registry.opens(claim):
            return False
        if replica.honest:
            for told in replica.world.watch.verified:
                told(replica.me, claim)
        return True

    def opens_here(self, claim: Claim) -> bool:
        """Seals stand in for signatures here, which convince everybody alike."""
        return self.opens(claim)


class CrashingDisk(SimulatedDisk):
    """Every append is a place to crash, before and after; every record is shown to the checkers."""

    replica: SimulatedReplica

    def append(self, records: Sequence[bytes], notes: Sequence[bytes]) -> Ticket:
        self.replica.port_call()
        self.replica.recorded([*records, *notes])
        ticket = super().append(records, notes)
        self.replica.written(ticket)
        self.replica.port_call()
        return ticket

    def recover(self, mending: bool = False) -> Recovered:
        recovered = super().recover(mending)
        self.replica.read_back(recovered.position, recovered.records)
        return recovered

    def forgot_promises(self) -> None:
        self.replica.world.count_as_liar(self.replica.me, "forgot what was in the last batch")

    def keep(
        self, position: Position, digest: Digest, snapshot: bytes | Iterable[bytes], head: Sequence[bytes]
    ) -> None:
        self.replica.port_call()
        super().keep(position, digest, snapshot, head)
        self.replica.renewed(position, digest, head)

    def stored(self, position: Position, digest: Digest) -> None:
        self.replica.kept(position, digest)

    def log_rotted(self) -> None:
        if self.replica.honest:
            for told in self.replica.world.watch.log_rotted:
                told(self.replica.me)

    def state_rotted(self, position: Position) -> None:
        if self.replica.honest:
            for told in self.replica.world.watch.state_rotted:
                told(self.replica.me, position)


class SimulatedJobs:
    """Answers come after a while of their own, in any order; those of a process that is gone never do."""

    def __init__(self, replica: SimulatedReplica, core: Core) -> None:
        self._replica = replica
        self._core = core
        self._chance = replica.world.chance(replica.place, "jobs")

    def begin(self, job: Job) -> None:
        answer = self._core.compute(job)
        delay = self._chance.choice(JOBS_TAKE_MS) * MILLISECOND
        self._replica.world.after(delay, partial(self._replica.computed, self._core, job.ticket, answer))


class SimulatedReplica:
    """Implements the Network and Observer ports for its own turn. `place` is where it is, `me` whose key it holds."""

    def __init__(self, world: World, place: int, me: ReplicaId) -> None:
        self.world = world
        self.place = place
        self.me = me
        plan = world.plan
        self.name = str(me) if place < plan.n else f"{me}'"  # as the trace calls it; a twin has a mark
        # Streams of its own: what one replica goes through does not change what others draw.
        off, drifting = (2 * world.chance(place, what).random() - 1 for what in ("offset", "drift"))
        self.clock = SkewedClock(
            lambda: world.now, int(plan.clock_offset_max * off), int(plan.clock_drift_ppm_max * drifting)
        )
        self.disk = CrashingDisk(me, world.chance(place, "disk"), world.after, plan.sync_max)
        self.disk.replica = self
        self.turn: Turn | None = None
        self.crashes = 0
        self.counts: dict[str, int] = {}
        self._liar_rng = world.chance(place, "lies")
        self.port_calls: list[Nanos] = []  # when each one was
        self._crash_in = 0  # port calls until the crash; 0 for none ordered
        self._crash_in_after_keep = 0  # the same, counted from the next checkpoint kept; 0 for none ordered
        self._poked = False
        self._recovering = False
        self._wake: Nanos = NEVER
        self.stays_down = False  # its disk is rotten, or the plan leaves it behind
        self.paused = False
        self._unheard: list[Callable[[], None]] = []  # what came in while it was paused, in order
        self.forgotten = 0  # how often it did so of its own accord
        self.sins: Sins = dict(plan.liars).get(me, ())  # worn anew after each restart

    @property
    def honest(self) -> bool:
        return self.me not in self.world.liars

    # ------------------------------------------------------------------ life

    def start(self) -> None:
        """Begin, or begin again from the disk; nothing if it is up. A disk that cannot be read leaves it down, as
        `outvote serve` ends with a sentence: after rot until the disk is replaced, else until the next attempt."""
        if self.turn is not None or self.stays_down:
            return
        world = self.world
        core = world.protocol.make(self.me, world.committee, world.plan.parameters)
        voice = Voice(self.me, world.plan.n, world.registry.sealer(self.me), world.codec, self)
        if self.sins:
            voice = self._traitor(voice, self.sins)
        self.turn = Turn(
            core, WatchedExecutor(self), protocol=world.protocol.name, codec=world.codec, records=world.records,
            voice=voice, opener=WatchedOpener(self), disk=self.disk, clock=self.clock, observer=self,
            jobs=SimulatedJobs(self, core),
        )
        self.disk.on_durable = self.poke
        if self.honest:
            for told in world.watch.started:
                told(self.me)
        world.log(self.name, "starts")
        if world.chronicler is not None:
            world.chronicler.started(self)
        self._recovering = True
        self._guard(self.turn.recover)
        self._recovering = False
        if self.turn is not None and self.honest:
            for told in world.watch.recovered:
                told(self.me, self.turn)
        self.poke()

    def pause(self) -> None:
        """Stopped by a signal: nothing runs, what comes in waits."""
        if self.turn is not None and not self.paused:
            self.paused = True
            self.world.log(self.name, "is paused")

    def resume(self) -> None:
        """Go on, with all that came in meanwhile; timers find out how late it is."""
        if not self.paused:
            return
        self.paused = False
        self.world.log(self.name, f"goes on, {len(self._unheard)} inputs waiting")
        waiting, self._unheard = self._unheard, []
        for hear in waiting:
            hear()
        self.poke()

    def computed(self, core: Core, ticket: int, answer: bytes) -> None:
        """A job is done, if the process that began it is still there."""
        if self.turn is not None and self.turn.core is core:
            if self._waits(partial(self.computed, core, ticket, answer)):
                return
            self.turn.computed(ticket, answer)
            self.poke()

    def _waits(self, hear: Callable[[], None]) -> bool:
        """Whether an input has to wait. Sockets hold so many; what comes beyond is lost."""
        if self.paused and len(self._unheard) < PAUSED_INPUTS_MAX:
            self._unheard.append(hear)
        return self.paused

    def corrupt(self, sins: Sins) -> None:
        """Lie from now on."""
        self.sins = sins
        if self.turn is not None:
            self.turn.speak_through(self._traitor(self.turn.voice, sins))

    def _traitor(self, voice: Voice, sins: Sins) -> TraitorVoice:
        world = self.world
        powers = Powers(voice, world.protocol, self._liar_rng, lambda: world.now, self._later, world.ring)
        powers.forgotten, powers.forget = self.forgotten, self.forget
        voice = TraitorVoice.over(voice, powers, [self._worn(sin, powers) for sin in sins])
        if world.chronicler is not None:
            voice.due = partial(world.chronicler.due, self.place)
        return voice

    def _worn(self, sin: str, powers: Powers) -> Behaviour:
        name = parse_sin(sin).name
        return behaviour(sin, powers.counted(lambda: self.world.tell_lie(f"lie told: {name}")))

    def forget(self) -> None:
        """A liar's disk is in its own hand: it starts again with an empty one, bound by nothing that it said."""
        self.forgotten += 1
        self.crash()
        self.disk.replace()
        self.world.after(FORGETTING_NS, self.start)

    def _later(self, delay: Nanos, action: Callable[[], None]) -> None:
        """A traitor's plans end with its process."""
        crashes = self.crashes

        def act() -> None:
            if self.turn is not None and self.crashes == crashes:
                self._guard(action)

        self.world.after(delay, act)

    def crash_after(self, calls: int) -> None:
        if self.turn is not None and not self._crash_in:
            self._crash_in = calls

    def crash_behind_checkpoint(self, calls: int) -> None:
        self._crash_in_after_keep = calls

    def kept(self, position: Position, digest: Digest) -> None:
        """A stable checkpoint is stored: durable, and what recovery begins from."""
        if self.honest:
            for told in self.world.watch.kept:
                told(self.me, position, digest)

    def renewed(self, position: Position, digest: Digest, head: Sequence[bytes]) -> None:
        """A checkpoint is stable and about to be stored, and the log begins anew."""
        if self.honest:
            for told in self.world.watch.renewed:
                told(self.me, position, digest, [self.world.records.decode(body) for body in head])
        self.world.mark("stable checkpoints")
        if self.world.chronicler is not None:
            self.world.chronicler.stable(self, position)
        self._crash_in = self._crash_in or self._crash_in_after_keep
        self._crash_in_after_keep = 0

    def no_more_crashes(self) -> None:
        self._crash_in = self._crash_in_after_keep = 0

    def port_call(self) -> None:
        """One step of the drain; perhaps the last."""
        self.port_calls.append(self.world.now)
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
        except BrokenStorage as failure:
            self._stop(failure)

    def _stop(self, failure: BrokenStorage) -> None:
        """The disk failed: say nothing more, as the real host does."""
        if isinstance(failure, Rot):
            if not self.disk.hurt:
                raise Violation("durable records", f"nobody hurt the disk, but {failure}")
            self.stays_down = True
            self.world.mark("refused to start on rot")
        elif not self._recovering:
            self.world.mark("stopped by its disk")
        self.world.log(self.name, f"stops: {failure}")
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
        self.paused = False
        self._unheard.clear()
        self.disk.crash()
        self.world.log(self.name, "crashes")
        if self.world.chronicler is not None:
            self.world.chronicler.crashed(self)
        if self.honest:
            for told in self.world.watch.crashed:
                told(self.me)

    def poke(self) -> None:
        """Something came in: one turn, once, at this instant."""
        if not self._poked and self.turn is not None and not self.paused:
            self._poked = True
            self.world.after(0, self._run)

    def _run(self) -> None:
        self._poked = False
        if not self.paused:
            self._guard(self._run_turn)

    def _run_turn(self) -> None:
        turn = self.turn
        if turn is None:
            return
        chronicler = self.world.chronicler
        if chronicler is not None and self.clock.now() >= turn.core.wake_at:
            chronicler.timer(self)
        wake_at = turn.run()
        if chronicler is not None:
            chronicler.stands(self, turn.core.standing())
        if self.honest:
            promised = self.disk.settled
            for told in self.world.watch.turned:
                told(self.me, turn, promised)
        self._arm(wake_at)

    def _arm(self, wake_at: Nanos) -> None:
        if wake_at >= NEVER:
            return
        delay = self.clock.true_delay(max(0, wake_at - self.clock.now()))
        if delay >= NEVER:
            return  # the clock stands still; whoever sets it going pokes us
        at = self.world.now + delay
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
        if self.turn is None or self._waits(partial(self.hear, sender, body)):
            return
        self.world.delivered += 1
        self.world.trace.heard(self.world.now, self.name, sender, body)
        try:
            self.turn.hear(sender, body)
        except Lie as lie:
            self.lie(sender, "frame", str(lie))
        if isinstance(self.turn.voice, TraitorVoice):
            self._guard(self.turn.voice.overhear, sender, body)
        self.poke()

    def request(self, client: ClientId, request: Request) -> None:
        if not self._waits(partial(self.request, client, request)):
            self._guard(self._request, client, request)

    def _request(self, client: ClientId, request: Request) -> None:
        if self.turn is not None:
            # As the gate for clients has it, which names its connection's owner and passes on what is well-formed.
            reason = refusal_reason(request) if request.client == client else ""
            refusal = Refusal(request.number, reason) if reason else self.turn.request(client, request)
            if refusal is not None:
                self.answer(client, refusal)
            self.poke()

    def read(self, client: ClientId, read: Read) -> None:
        if not self._waits(partial(self.read, client, read)):
            self._guard(self._take_read, client, read)

    def _take_read(self, client: ClientId, read: Read) -> None:
        if self.turn is not None:
            unread = self.turn.read(client, read)
            if unread is not None:
                self.answer(client, unread)
            self.poke()

    # ------------------------------------------------------------------ ports

    def send(self, receiver: ReplicaId, body: bytes) -> None:
        self.port_call()
        self.world.trace.sent(self.world.now, self.name, receiver, body)
        self.world.send(self, receiver, body)

    def answer(self, client: ClientId, message: ToClient) -> None:
        self.port_call()
        if isinstance(message, Reply) and not message.seal:
            # As it is: one that carries no seal says nothing but what its channel's other end hears.
            self.world.said(self.me, message)
        self.world.answer(self, client, message)

    def hasten(self) -> None:
        """Everything is on its way already."""

    def count(self, what: str, amount: int = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + amount

    def lie(self, party: PartyId, kind: str, text: str) -> None:
        self.count(f"lie:{kind}")
        self.world.mark("lies dropped")
        if self.honest:
            for told in self.world.watch.took_for_lie:
                told(self.me, party, kind, text)
        self.world.log(self.name, f"lie of {party}: {text}")
        if self.world.chronicler is not None:
            self.world.chronicler.took_for_lie(self, party, text)

    def evidence(self, party: ReplicaId, first: tuple[Struct, Seal], second: tuple[Struct, Seal]) -> None:
        self.count("convicted")
        self.world.mark("evidence found")
        self.world.log(self.name, f"evidence against {party}")
        if self.world.chronicler is not None:
            self.world.chronicler.evidence(self, party, first, second)
        if self.honest:
            for told in self.world.watch.accused:
                told(self.me, party, first, second)

    def note(self, text: str) -> None:
        self.world.log(self.name, text)

    def checkpoint(self, position: Position, digest: bytes) -> None:
        if self.world.chronicler is not None:
            self.world.chronicler.checkpoint(self, position)
        if self.honest:
            for told in self.world.watch.checkpointed:
                told(self.me, position, digest)

    # ------------------------------------------------------------------ what the checkers see

    def delivered(self, delivery: Delivery, replies: list[ReplyStatement], executor: Executor) -> None:
        requests = " ".join(f"{one.client - FIRST_CLIENT}#{one.number}" for one in delivery.requests)
        self.world.log(self.name, f"delivers {delivery.position} [{requests}]")
        if self.world.chronicler is not None:
            self.world.chronicler.delivered(self, delivery)
        if any(one.position != delivery.position for one in replies) or len(replies) < len(delivery.requests):
            self.world.mark("requests ordered twice")
        if self.honest:
            ran = {(reply.client, reply.number): reply for reply in replies if reply.position == delivery.position}
            for request in delivery.requests:
                reply = ran.get(request.key)
                if request.client in self.world.liars and reply is not None:
                    self.executes(request, reply.results)
            for told in self.world.watch.delivered:
                told(self.me, delivery, replies, executor.history)
            for told in self.world.watch.executed:
                told(self.me, executor)

    def executes(self, request: Request, results: tuple[bytes, ...]) -> None:
        """Really, and not for the second time."""
        if len(request.operations) == len(results):
            self.world.had_executed.setdefault(request.key, tuple(zip(request.operations, results, strict=True)))

    def imaged(self, position: Position, data: bytes) -> None:
        if self.honest:
            for told in self.world.watch.imaged:
                told(self.me, position, data)

    def installed(self, position: Position, history: Digest) -> None:
        self.world.log(self.name, f"installs the state of {position}")
        if self.world.chronicler is not None:
            self.world.chronicler.installed(self, position)
        if not self._recovering:
            self.world.mark("states fetched")
        if self.honest:
            for told in self.world.watch.installed:
                told(self.me, position, history, self._recovering)

    def read_back(self, position: Position, bodies: Sequence[bytes]) -> None:
        if self.honest:
            for told in self.world.watch.read_back:
                told(self.me, position, [self.world.records.decode(body) if body else Lost() for body in bodies])

    def written(self, ticket: Ticket) -> None:
        if self.honest:
            for told in self.world.watch.written:
                told(self.me, ticket)

    def recorded(self, bodies: list[bytes]) -> None:
        world = self.world
        world.trace.recorded(world.now, self.name, bodies)
        if self.honest:
            for body in bodies:
                record = world.records.decode(body)
                for told in world.watch.recorded:
                    told(self.me, record)
                for mark in world.protocol.marks(record):
                    world.mark(mark)
