"""The turn: the one loop body that every host runs - simulator, in-process cluster, and sockets.

Gather inputs, call the core, drain its outbox in a fixed order:

    hints -> records and notes to the disk -> messages parked until that is durable -> deliveries to the executor
    -> stable checkpoints -> transfers -> jobs -> lies

Kept: no promise leaves before every record handed over with it or earlier is durable; a replica receives its own
promise no sooner than others could; and what the core has not admitted costs no signature check.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from outvote.core.contract import (
    ALL,
    NO_STATE,
    Claim,
    Core,
    Delivery,
    Job,
    Lost,
    Message,
    Outbox,
    Record,
    Request,
)
from outvote.errors import Lie
from outvote.host.budgets import (
    FORGERIES_BURST,
    FORGERIES_PER_SECOND,
    REPEATS_BURST,
    REPEATS_PER_SECOND,
    Budget,
)
from outvote.host.keeping import Keeping
from outvote.host.orders import Orders
from outvote.host.ports import Clock, Jobs, Observer, Opener
from outvote.host.reads import Reads
from outvote.host.restoring import TRANSFER_KINDS, Restoring
from outvote.host.tentative import Tentative
from outvote.host.voice import Voice
from outvote.host.witness import Witness
from outvote.machines.executor import Executor, Snapshot
from outvote.machines.state_transfer import Server
from outvote.storage.contract import Disk, Ticket
from outvote.types import ClientId, Digest, Nanos, Position, ReplicaId, Seal, Size
from outvote.wire.client_messages import (
    OUTSTANDING_MAX,
    Ask,
    Order,
    Ordered,
    Read,
    Refusal,
    ReplyStatement,
    Report,
    Unread,
)
from outvote.wire.codec import Codec, RecordCodec

INBOX_MESSAGES_MAX = 4096  # a sender, decoded and not yet handled; links hand over less than one read at a time
NOTES_HELD_MAX = 64  # 200 bytes each
# Promises that wait for the disk; while it hangs nothing more is read, and links and clients see their own limits.
# One pass over full inboxes may still add as many: a replica's STATUS is answered with 64 at most, twice an interval.
PARKED_MESSAGES_MAX = 16_384
UNSAID_MAX = 256  # at most one tentative delivery waits for each position of the window, while the disk is slow
CHECKPOINTS_HELD_MAX = 4  # digested and not yet stable: the window holds two


class Turn:
    """One replica. `run` does all that can be done now; the host calls it after inputs, timers and syncs."""

    def __init__(
        self,
        core: Core,
        executor: Executor,
        *,
        protocol: str,
        codec: Codec,
        records: RecordCodec,
        voice: Voice,
        opener: Opener,
        disk: Disk,
        clock: Clock,
        observer: Observer,
        jobs: Jobs | None = None,
    ) -> None:
        """`jobs`: without it they are done at once, within the turn."""
        self.core = core
        self.executor = executor
        self.me = core.me
        self.protocol = protocol
        self.voice = voice
        self._codec = codec
        self._records = records
        self._opener = opener
        core.genuine = opener.opens
        self._disk = disk
        self._clock = clock
        self._observer = observer
        self._jobs = jobs
        self._computed: deque[tuple[int, bytes]] = deque()  # of jobs that the core has handed out
        self._witness = Witness(observer)
        self._orders = Orders(core, frozenset((core.me, *voice.others)), opener, observer)
        self._server = Server()
        self._keeping = Keeping(disk, observer, stored=executor.stored)
        self._restoring = Restoring(core.me, self._server, voice, observer, self._keeping.set_aside)
        self._inbox: list[tuple[ReplicaId, Message, Seal]] = []
        self._inbox_count: dict[ReplicaId, int] = {}
        self._own: deque[tuple[Message, Seal]] = deque()
        self._requests: list[Request] = []
        self._requests_of: dict[ClientId, int] = {}
        self._reads = Reads()
        self._tentative = Tentative(executor)
        self._unsaid: deque[tuple[Ticket, Position, list[ReplyStatement], Delivery]] = deque()
        self._repeats = Budget(REPEATS_BURST, REPEATS_PER_SECOND)
        self._forgeries = Budget(FORGERIES_BURST, FORGERIES_PER_SECOND)
        self._digests: deque[tuple[Position, Digest]] = deque()
        self._said_tentatively: Position = 0  # the last position whose answers clients have as tentative ones
        self._fetched: Position = 0  # a state fetched from others: nothing is vouched for before it is stored
        self._notes: list[Record] = []
        self._parked: deque[tuple[Ticket, ReplicaId, Message, bool]] = deque()  # with whether somebody waits for it
        self._ticket: Ticket = 0
        self.urgent = False  # whether anything that the last run said to other replicas must leave at once
        self._snapshots: dict[Position, Snapshot] = {}
        self._checkpoint: tuple[Position, Digest] = (0, b"")
        self._counts: dict[str, int] = {}
        self._sent: dict[type[Message], int] = {}
        self._received: dict[type[Message], int] = {}

    def speak_through(self, voice: Voice) -> None:
        """Another voice from now on: so a replica is corrupted while it runs."""
        self.voice = self._restoring.voice = voice

    @property
    def counters(self) -> dict[str, int]:
        """How often what happened, by name."""
        sent = {kind.__name__ + "_sent": count for kind, count in self._sent.items()}
        received = {kind.__name__ + "_received": count for kind, count in self._received.items()}
        reads = {"reads_answered": self._reads.answered, "reads_refused": self._reads.unread}
        return {**self._counts, **{name: count for name, count in reads.items() if count}, **sent, **received}

    # ------------------------------------------------------------------ inputs

    def recover(self) -> None:
        """Read the disk back and make every promise on it again. Raises BrokenStorage, Rot or Mistake."""
        recovered = self._disk.recover(self.core.mends)
        self._read_clock()
        position, digest = recovered.position, recovered.digest
        state = self._keeping.take_over(recovered)
        if state is not None:
            self.executor.install(state)
            self._server.hold(position, state)
            self._server.settle(position)
            self._checkpoint = (position, digest)
        else:
            position, digest = 0, b""
        records = [self._records.decode(body) if body else Lost() for body in recovered.records]
        self.core.restore(position, digest, records)
        if position:
            self._digests.append(self._checkpoint)  # not every state that is stored was certified to everybody
        if position or records:
            self._observer.note(f"recovered the state of position {position} and {len(records)} records")
        self._drain()

    def hear(self, sender: ReplicaId, body: bytes) -> None:
        """A frame from another replica. Raises Lie if it is no message; the link counts it."""
        waiting = self._inbox_count.get(sender, 0)
        if waiting >= INBOX_MESSAGES_MAX:
            self._observer.count("inbox_full")
            return
        message, seal = self._codec.decode(body)
        self._inbox_count[sender] = waiting + 1
        self._inbox.append((sender, message, seal))

    def request(self, client: ClientId, request: Request) -> Refusal | None:
        """A client's request, after the gate's limits. Executed ones are answered from the client table."""
        number = request.number
        if request.client != client:
            self._observer.lie(client, "foreign request", f"a request in the name of client {request.client}")
            return Refusal(number, f"the request names client {request.client}, and you are client {client}")
        if self.executor.executed_already(client, number):
            answer = self.executor.cached(client, number)
            if answer is not None and answer.position > self._tentative.position:
                return None  # answered when that is final, or when it is asked for once more
            if answer is None:
                return Refusal(number, f"request {number} was acknowledged or given up before; its answer is forgotten")
            if not self._repeats.take(client, self.core.now):
                self._count("repeats_not_answered")
                return None
            self.voice.answer(client, answer, self.core.route(), request.receipt)
            self.core.asked_again(answer.position)
            return None
        if not 0 <= request.acknowledged < number <= request.acknowledged + OUTSTANDING_MAX:
            return Refusal(
                number,
                f"request {number} is more than {OUTSTANDING_MAX} past the last acknowledged {request.acknowledged}",
            )
        if not request.operations:
            return Refusal(number, "a request needs at least one operation")
        if not self._forgeries.allows(client, self.core.now):
            self._count("requests_refused_forger")
            return Refusal(number, "busy: too many of your requests had seals that do not open")
        # Within one turn no client gets more signatures checked than it may have requests outstanding.
        queued = self._requests_of.get(client, 0)
        if queued >= OUTSTANDING_MAX:
            self._count("requests_refused_busy")
            self._repeats.take(client, self.core.now)
            return Refusal(number, f"busy: {OUTSTANDING_MAX} requests of yours came at once")
        self._requests_of[client] = queued + 1
        self._requests.append(request)
        return None

    def read(self, client: ClientId, read: Read) -> Unread | None:
        """A client's read-only request: answered in the next turn, beside the order."""
        return self._reads.take(client, read)

    def order(self, client: ClientId, order: Order) -> Ordered:
        """An operator's, through a client's channel."""
        self._read_clock()
        return self._orders.take(client, order, self._forgeries)

    def overdrawn(self, client: ClientId) -> bool:
        """Whether a client has caused more useless work than it may: the host need not read on at once."""
        now = self.core.now
        return not (self._forgeries.allows(client, now) and self._repeats.allows(client, now))

    def report(self, ask: Ask, counters: Mapping[str, int]) -> Report:
        """How this replica stands, in its own words; with the host's counters beside the turn's."""
        return Report(
            ask.nonce, self.me, self.protocol, self.core.standing(), self._tentative.time, self._tentative.history,
            *self._checkpoint, {**counters, **self.counters},
        )

    def sizes(self) -> Iterator[Size]:
        """What others can make grow here, and its limits; the core's own apart."""
        yield "inbox of a sender", max(self._inbox_count.values(), default=0), INBOX_MESSAGES_MAX
        yield "requests of a client in one turn", max(self._requests_of.values(), default=0), OUTSTANDING_MAX
        yield from self._repeats.sizes()
        yield from self._forgeries.sizes()
        yield "parked promises", len(self._parked), 2 * PARKED_MESSAGES_MAX
        yield "own promises", len(self._own), 2 * PARKED_MESSAGES_MAX
        yield "notes", len(self._notes), NOTES_HELD_MAX
        yield "snapshots", len(self._snapshots), CHECKPOINTS_HELD_MAX
        yield from self._witness.sizes()
        yield from self._restoring.sizes()
        yield from self._reads.sizes()
        yield from self._tentative.sizes()
        yield "tentative answers to say", len(self._unsaid), UNSAID_MAX
        yield from self.executor.sizes()

    # ------------------------------------------------------------------ the turn

    def run(self) -> Nanos:
        """Do everything that can be done now. Returns when to be woken, in this clock's nanoseconds."""
        self._disk.check()
        self.urgent = bool(self._reads) or self._restoring.under_way
        core = self.core
        self._read_clock()
        if core.now >= core.wake_at:
            core.wake()
        self._restoring.tick(core.now)
        if core.out.waits():
            self._drain()
        if self._parked or self._unsaid:
            self._release()
        while self._own or self._inbox or self._requests or self._computed or (self._digests and self._may_vouch()):
            if len(self._parked) >= PARKED_MESSAGES_MAX:
                break
            self._take_inputs()
            self._drain()
            if self._parked or self._unsaid:
                self._release()
        if self._reads:
            self._reads.begin(core, self.executor, self.voice)
            if core.out.waits():
                self._drain()
                self._release()
            self._answer_reads()
        return min(core.wake_at, self._restoring.wake_at)

    @property
    def waits_for_disk(self) -> bool:
        return bool(self._parked)

    def _read_clock(self) -> None:
        self.core.now = self._clock.now()
        self.core.wall = self._clock.wall()

    def _take_inputs(self) -> None:
        core = self.core
        while self._own:
            message, seal = self._own.popleft()
            core.receive(self.me, message, seal)
        while self._computed:
            core.computed(*self._computed.popleft())
        while self._digests and self._may_vouch():
            core.executed(*self._digests.popleft())
        if self._inbox:
            inbox, self._inbox, self._inbox_count = self._inbox, [], {}
            for sender, message, seal in inbox:
                self._handle(sender, message, seal)
        if self._requests:
            requests, self._requests, self._requests_of = self._requests, [], {}
            core.submit(self._genuine_requests(requests))

    def _may_vouch(self) -> bool:
        """Whether a crash could not take away the state that the next digest is of: its log begins on our disk."""
        return self._disk.kept >= self._fetched

    def _handle(self, sender: ReplicaId, message: Message, seal: Seal) -> None:
        kind = type(message)
        if kind in TRANSFER_KINDS:
            self.urgent = True
            self._restoring.take(sender, message)
            return
        claims = message.claims()
        # What needs no signature checked goes straight to the core, which asks the same question itself.
        if claims or seal:
            if not self.core.admits(sender, message):
                self._count("not_admitted")
                return
            if not self._genuine(sender, message, seal, claims):
                return
        self._received[kind] = self._received.get(kind, 0) + 1
        self.core.receive(sender, message, seal)

    def _genuine(self, sender: ReplicaId, message: Message, seal: Seal, claims: Sequence[Claim]) -> bool:
        """Check the sender's seal and every seal that the message quotes; show them to the witness."""
        opens, see = self._opener.opens, self._witness.see
        if seal:  # the codec has seen to it that a message has one if its type wants one
            statement = message.statement()
            if not opens(Claim(sender, statement, seal)):
                self._observer.lie(sender, "seal", f"a {type(message).__name__} whose seal is not its sender's")
                return False
            see(sender, statement, seal)
        if message.own_mac_suffices:
            opens = self._opener.opens_here
        for claim in claims:
            if not opens(claim):
                self._observer.lie(sender, "claim", f"a {type(message).__name__} that quotes a forged seal")
                return False
            see(*claim)
        return True

    def _genuine_requests(self, requests: Sequence[Request]) -> list[Request]:
        """Without those that the core has no room for: a client that floods is not paid a signature check for each."""
        room: dict[ClientId, int] = {}
        genuine = []
        for request in requests:
            left = room.setdefault(request.client, self.core.room(request.client))
            if left <= 0:
                self._count("requests_without_room")
                self._repeats.take(request.client, self.core.now)
            elif self._genuine_request(request):
                room[request.client] = left - 1
                genuine.append(request)
        return genuine

    def _genuine_request(self, request: Request) -> bool:
        if self._opener.opens(request.claim()):
            return True
        self._forgeries.take(request.client, self.core.now)
        self._observer.lie(request.client, "seal", f"request {request.number} is not sealed by its client")
        return False

    # ------------------------------------------------------------------ the outbox

    def computed(self, ticket: int, answer: bytes) -> None:
        """A job is done. The host runs the turn then."""
        self._computed.append((ticket, answer))

    def _drain(self) -> None:
        if self.core.out.waits():
            self._empty(self.core.out)
        if self._restoring.under_way:
            self._install_fetched()

    def _empty(self, out: Outbox) -> None:
        for receiver, hint in out.hints:
            self.urgent = True
            self._count_sent(receiver, hint)
            self.voice.hint(receiver, hint)
        if out.notes:
            self._notes += out.notes
        if out.records or len(self._notes) >= NOTES_HELD_MAX:
            if out.hints:  # a leader's entries reach followers' disks while ours is at work
                self.voice.hasten()
            # Nothing waits for a note, so it waits for the next write that something does wait for.
            encode = self._records.encode
            self._ticket = self._disk.append(
                [encode(record) for record in out.records], [encode(note) for note in self._notes]
            )
            self._notes.clear()
        if out.messages:
            urgent = not _can_wait(out)
            for receiver, message in out.messages:
                self._parked.append((self._ticket, receiver, message, urgent))
        if out.undo:
            self._tentative.undo()
            self._unsaid.clear()
            self._said_tentatively = 0
        for delivery in out.deliveries:
            self._deliver_one(delivery)
        for delivery in out.tentative:
            self._answer_reads()
            self._execute_tentatively(delivery)
        for stable in out.stable:
            self._keep(stable.position, stable.digest)
        for transfer in out.transfers:
            self._restoring.begin(transfer, self._keeping.known(self.executor.saved), self.core.now)
        self._begin(out.jobs)
        for party, text in out.lies:
            self._observer.lie(party, "protocol", text)
        out.clear()

    def _begin(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            if self._jobs is not None:
                self._jobs.begin(job)
            else:
                self.computed(job.ticket, self.core.compute(job))

    def _release(self) -> None:
        """Let go of the promises whose records are durable, in order; our own copies become inputs."""
        parked, durable = self._parked, self._disk.durable
        while parked and parked[0][0] <= durable:
            _, receiver, message, urgent = parked.popleft()
            self.urgent = self.urgent or urgent
            self._count_sent(receiver, message)
            seal = self.voice.promise(receiver, message)
            if receiver in (ALL, self.me):
                self._own.append((message, seal))
        while self._unsaid and self._unsaid[0][0] <= durable:
            self._say_tentatively(*self._unsaid.popleft()[1:])

    def _deliver_one(self, delivery: Delivery) -> None:
        said = delivery.position == self._said_tentatively
        answers, ahead = self._tentative.deliver(delivery)
        if delivery.answer:
            self._answer(answers, delivery, said and ahead)
        self._count("delivered")
        self._count("operations", sum([len(request.operations) for request in delivery.requests]))
        if delivery.checkpoint:
            self._take_checkpoint()

    def _answer(
        self, answers: list[ReplyStatement], delivery: Delivery, said: bool = False, tentative: bool = False
    ) -> None:
        """`said`: clients have the same answers as tentative ones, and ask again should too few have come. Receipts
        are given for what is final."""
        receipts = [request.key for request in delivery.requests if request.receipt]
        for answer in answers:
            key = answer.client, answer.number
            receipt = key in receipts
            if tentative if receipt else said:
                continue
            whole = self.core.answers_alone or sum(key) % (len(self.voice.others) + 1) == self.me
            self.voice.answer(answer.client, answer, delivery.view, receipt, whole, tentative)

    def _execute_tentatively(self, delivery: Delivery) -> None:
        """The answers leave when the certificate is durable: they promise that it is shown in a view change."""
        answers = self._tentative.execute(delivery)
        if answers is not None:
            self._count("tentative")
            self._unsaid.append((self._ticket, delivery.position, answers, delivery))

    def _say_tentatively(self, position: Position, answers: list[ReplyStatement], delivery: Delivery) -> None:
        if self._tentative.ahead and position == self.executor.position:  # else it has been answered for good
            self._said_tentatively = position
            self._answer(answers, delivery, tentative=True)

    def _answer_reads(self) -> None:
        if self._reads and not self._tentative.ahead:
            self._reads.answer(self.core, self.executor, self.voice)

    def _take_checkpoint(self) -> None:
        snapshot = self.executor.checkpoint()
        self._tentative.checkpointed(snapshot)
        self._snapshots[snapshot.position] = snapshot
        while len(self._snapshots) > CHECKPOINTS_HELD_MAX:
            del self._snapshots[min(self._snapshots)]
        self._server.hold(snapshot.position, snapshot.state)
        self._checkpoint = (snapshot.position, snapshot.digest)
        self._observer.checkpoint(snapshot.position, snapshot.digest)
        self._digests.append(self._checkpoint)

    def _keep(self, position: Position, digest: Digest) -> None:
        """A quorum certified this state: store it, and let the log begin anew behind it."""
        if digest == NO_STATE:
            self._disk.keep(position, digest, b"", [self._records.encode(record) for record in self.core.summary()])
            return
        snapshot = self._snapshots.get(position)
        if snapshot is None or snapshot.digest != digest:
            return
        self._disk.keep(
            position, digest, self._keeping.image(snapshot.state),
            [self._records.encode(record) for record in self.core.summary()]
        )
        self._server.settle(position)
        self._snapshots = {at: held for at, held in self._snapshots.items() if at > position}
        self._count("stable_checkpoints")

    def _install_fetched(self) -> None:
        fetched = self._restoring.finished()
        if fetched is None:
            return
        position, digest, state = fetched.position, fetched.digest, fetched.state
        try:
            self.executor.install(state)
        except Lie as error:
            # The leaves are certified, so our class differs from the others': no retry can help.
            self._observer.note(f"the certified state of position {position} does not fit this class: {error}")
            return
        self._observer.note(
            f"fetched {fetched.leaves_fetched} of the {len(state)} leaves of the state of position {position}, "
            f"{fetched.bytes_fetched} of {state.size_bytes} bytes"
        )
        snapshot = Snapshot(position, digest, state)
        self._tentative.checkpointed(snapshot)
        self._unsaid.clear()
        self._snapshots = {position: snapshot}
        self._server.hold(position, state)
        self._checkpoint = (position, digest)
        self._fetched = position
        self._count("states_fetched")
        self._count("leaves_fetched", fetched.leaves_fetched)
        self._count("bytes_fetched", fetched.bytes_fetched)
        self.core.forget([key for key in self.core.waiting() if self.executor.executed_already(*key)])
        self._digests.append((position, digest))  # to be vouched for too, if no quorum has certified it yet
        self.core.transferred(position, digest)
        self._drain()

    def _count(self, what: str, amount: int = 1) -> None:
        self._counts[what] = self._counts.get(what, 0) + amount

    def _count_sent(self, receiver: ReplicaId, message: Message) -> None:
        kind = type(message)
        self._sent[kind] = self._sent.get(kind, 0) + (len(self.voice.others) if receiver == ALL else 1)


def _can_wait(out: Outbox) -> bool:
    """Whether nobody waits for the promise in it: its clients are content with the tentative answers, as no receipt is
    wanted. One alone: whoever says more may have the next batch wait for this."""
    if len(out.messages) > 1 or not out.messages[0][1].patient or not out.tentative:
        return False
    return not any(request.receipt for one in out.tentative for request in one.requests)
