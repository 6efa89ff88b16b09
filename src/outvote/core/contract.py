"""The contract between a consensus protocol and whatever hosts it.

Calls go in, an outbox comes out; see docs/contract.md. Two pairs of words carry the design:

- a `Message` is a promise to other replicas: the host seals it (unless nobody will ever quote it) and lets it leave
  only after every Record handed over with it or before it is durable. A `Hint` promises nothing: it is not sealed
  and leaves at once.
- a `Record` is a fact that a later Message stands on. A `Note` is a fact whose loss costs time, never safety:
  nothing waits for it.

A seal covers the *values* of a statement, rebuilt by `sealed_bytes`, never the bytes that came in: so a second
encoding of the same values cannot carry a different meaning.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import ClassVar, Final, NamedTuple

import msgspec

from outvote.types import NEVER, ClientId, Digest, Nanos, PartyId, Position, ReplicaId, Seal, View

ALL: Final = -1  # every replica, the sender included
NO_STATE: Final[Digest] = bytes(32)  # stands where a digest would, for a replica that votes and keeps no state

_encode = msgspec.msgpack.Encoder().encode


class Struct(msgspec.Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """Fields in order, no names on the wire, nothing extra accepted. gc=False: these values never form cycles."""

    def exclusive(self) -> tuple[int, ...] | None:
        """A key under which an honest party seals one statement at most; two different ones convict it.
        None for what may be said twice in different words."""
        return None


def canonical(value: msgspec.Struct) -> bytes:
    """The one encoding that digests and seals are taken over."""
    return _encode(value)


def digest_of(value: msgspec.Struct) -> Digest:
    """SHA-256 of the canonical encoding."""
    return sha256(_encode(value)).digest()


class Claim(NamedTuple):
    """Somebody's seal over a statement, quoted in a message; the host checks it before the core sees the message."""

    signer: PartyId
    statement: Struct
    seal: Seal


class Message(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """A promise to other replicas: once said, it must survive our crash. Subclasses fix an integer `tag`.

    `sealed` is False for a promise that is never quoted to a third party: the channel's word about its sender is
    enough then, as in the MAC form of the protocols, and nobody pays for a signature. `patient` is True for one that
    nobody waits for once the clients have the answer tentatively: a host may hold it back for some milliseconds, to let
    it leave with the next one. `own_mac_suffices` says of its claims that our own entry in an authenticator will do,
    though it convinces nobody else.
    """

    sealed: ClassVar[bool] = True
    patient: ClassVar[bool] = False
    own_mac_suffices: ClassVar[bool] = False

    def statement(self) -> Struct:
        """What the sender's seal covers: the message itself, unless it carries a body bound by a digest."""
        return self

    def claims(self) -> Sequence[Claim]:
        """Every seal that this message quotes."""
        return ()


class Hint(Message, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """Promises nothing, carries no seal of its own: may leave before anything is durable."""

    sealed: ClassVar[bool] = False


class Record(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """A fact that must be durable before any later Message leaves. Subclasses fix an integer `tag`."""


class Lost(Record, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=0):
    """In the place of a record that was durable and cannot be read any more. Only cores that mend are given any."""


class Note(Record, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """A fact worth remembering that no Message waits for."""


class RequestStatement(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag="request"):
    """What a client's seal covers."""

    client: ClientId
    number: int
    acknowledged: int
    operations: tuple[bytes, ...]
    receipt: bool = False


class Request(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """One or more operations of one client under one number and one seal; executed all together, at most once.

    `number` counts the client's requests from 1. `acknowledged` says that every request up to it has been
    answered, so replicas may forget those answers. `receipt` asks for sealed replies, of which a receipt can be made.
    """

    client: ClientId
    number: int
    acknowledged: int
    operations: tuple[bytes, ...]
    seal: Seal
    receipt: bool = False

    def statement(self) -> RequestStatement:
        return RequestStatement(self.client, self.number, self.acknowledged, self.operations, self.receipt)

    def claim(self) -> Claim:
        return Claim(self.client, self.statement(), self.seal)

    @property
    def key(self) -> tuple[ClientId, int]:
        return self.client, self.number

    def size_bytes(self) -> int:
        """Upper bound of the encoding: 5 bytes a length prefix, 36 for the fixed fields, and the seal."""
        operations = self.operations
        return 36 + len(self.seal) + 5 * len(operations) + sum(map(len, operations))


class Delivery(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """A decided batch. Positions come without gaps, each once."""

    position: Position
    time: Nanos  # wall-clock nanoseconds proposed by the leader; the executor makes them monotonic
    requests: tuple[Request, ...]
    view: View  # quoted in replies so that clients find the leader
    checkpoint: bool  # after this one, digest the whole state and call `executed`
    answer: bool = True  # False where one replica's answer is enough, and another one's it is


class Stable(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """A position whose state a quorum certified: the host may keep that snapshot and forget the log before it. With
    NO_STATE for a digest there is none to keep, and only the log begins anew."""

    position: Position
    digest: Digest


class Transfer(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """Fetch the certified state at `position` from any of `sources`, install it, then call `transferred`.

    A newer Transfer replaces an older one. Until `transferred`, the core delivers nothing.
    """

    position: Position
    digest: Digest
    sources: tuple[ReplicaId, ...]
    patience_ns: Nanos  # a source that has not answered for so long may not have it: ask another


NOBODY: Final[ReplicaId] = -1


class Job(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """Work that would hold up a turn: a function of its parts and of keys alone. `Core.compute` does it, wherever the
    host likes; the answer comes back through `Core.computed`, sooner or later, in any order."""

    ticket: int
    work: str
    parts: tuple[bytes, ...]
    who: ReplicaId = NOBODY


class Standing(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """Where a core stands, for people and dashboards; promises nothing."""

    view: View
    active: bool  # False while the view is being changed
    leader: ReplicaId  # NOBODY where all propose
    position: Position  # last delivered
    stable: Position  # last certified checkpoint
    waiting: int  # requests known and not yet executed
    note: str  # one phrase: "ordering", "changing view", "fetching state", ...
    voters: tuple[ReplicaId, ...] = ()  # where not all replicas vote for ever: those that do now
    witnesses: tuple[ReplicaId, ...] = ()  # those that keep no state
    changing: bool = False  # whether the voters are being changed, or a change is not certain yet


class Outbox:
    """What a turn asked for. The host drains it in this order, then clears it."""

    __slots__ = (
        "deliveries", "hints", "jobs", "lies", "messages", "notes", "records", "stable", "tentative", "transfers",
        "undo",
    )

    def __init__(self) -> None:
        self.hints: list[tuple[ReplicaId, Hint]] = []
        self.records: list[Record] = []  # one append, one sync
        self.notes: list[Note] = []  # appended behind the records, not waited for
        self.messages: list[tuple[ReplicaId, Message]] = []  # sealed and sent after the sync
        self.undo: list[Position] = []  # what was executed tentatively behind this position is taken back
        self.deliveries: list[Delivery] = []
        self.tentative: list[Delivery] = []  # the next one, to be executed before it is decided; see `undo`
        self.stable: list[Stable] = []
        self.transfers: list[Transfer] = []
        self.jobs: list[Job] = []  # to be done outside of the turn
        self.lies: list[tuple[ReplicaId, str]] = []  # who said what no correct replica says; to be counted

    def waits(self) -> bool:
        """Whether there is anything to drain."""
        return bool(
            self.hints or self.records or self.notes or self.messages
            or self.deliveries or self.tentative or self.undo or self.stable or self.transfers or self.jobs
            or self.lies
        )

    def clear(self) -> None:
        for lane in (
            self.hints, self.records, self.notes, self.messages,
            self.deliveries, self.tentative, self.undo, self.stable, self.transfers, self.jobs,
            self.lies,
        ):
            if lane:
                lane.clear()


UNBOUNDED: Final = 1 << 62


def _unknown(_claim: Claim) -> bool:
    """Nobody is there to check it."""
    return False


class Core(ABC):
    """One replica of one protocol: same calls in the same order, same outbox.

    Nothing but the arguments, `now` and `wall` may influence it.
    """

    mends: ClassVar[bool] = False  # whether `restore` takes Lost among the records; it raises Rot if it cannot
    obeys_its_owner: bool = False  # alone: orders are sealed with this replica's own key, not with any one's
    answers_alone: ClassVar[bool] = False  # whether clients believe one replica: then it sends results whole

    def __init__(self, me: ReplicaId) -> None:
        self.me = me
        self.now: Nanos = 0  # monotonic; the host sets it when a turn begins
        self.wall: Nanos = 0  # this replica's idea of the time of day; only for values that are agreed on
        self.wake_at: Nanos = NEVER  # the host reads it when a turn ends
        # From which executed position on the state holds everything that this replica ever told a client of, so that
        # read-only requests may be answered from it; None: not known, or there is none. The host reads it.
        self.reads_at: Position | None = None
        # Of the tickets that `ask_to_read` gave, those up to here are confirmed: their reads may be answered.
        self.reads_confirmed = 0
        # A position and a moment of `now`: executed from there on, the state holds everything that anybody was told of
        # before that moment. For reads that may be a little old, and want to know how old. None: not known.
        self.known_at: tuple[Position, Nanos] | None = None
        # Whether a seal is its signer's: for what no message could show beforehand, such as what was encrypted. Set by
        # the host; the same answer at every replica.
        self.genuine: Callable[[Claim], bool] = _unknown
        self.hands_out_jobs = False  # ever
        self.out = Outbox()

    @abstractmethod
    def restore(self, position: Position, digest: Digest, records: Sequence[Record]) -> None:
        """Come back bound by every promise: `records` as written, oldest first, over a state at `position`
        (0 and b"" if the state is the initial one). May hold repeats. Called once, before anything else. Raises Rot if
        what is lost among them cannot be told from what is left."""

    @abstractmethod
    def summary(self) -> list[Record]:
        """The records that would bring a core at the last stable position to where this one is."""

    @abstractmethod
    def submit(self, requests: Sequence[Request]) -> None:
        """Requests that clients handed to this replica; their seals have been checked."""

    def room(self, client: ClientId) -> int:
        """How many more requests of this client could be taken now: the seals of the others need not be checked."""
        return UNBOUNDED

    @abstractmethod
    def admits(self, sender: ReplicaId, message: Message) -> bool:
        """Whether the message could still matter: cheap, pure, asked before any crypto is paid for."""

    @abstractmethod
    def receive(self, sender: ReplicaId, message: Message, seal: Seal) -> None:
        """A message whose seal (if its type has one) and claims were checked. `sender` is certain in any case: the
        channel says so. One's own messages come back here once durable."""

    def ask_to_read(self) -> int:
        """Read-only requests begin now: a ticket, to compare with `reads_confirmed`. 0 where `reads_at` says all."""
        return 0

    def route(self) -> View:
        """The view quoted in replies: its leader, as the committee has it, is where clients send what comes next."""
        return self.standing().view

    @abstractmethod
    def wake(self) -> None:
        """`now` has reached `wake_at`."""

    @abstractmethod
    def executed(self, position: Position, digest: Digest) -> None:
        """The state after the checkpoint at `position` has this digest here."""

    def operate(self, what: str, argument: int) -> str:
        """What an operator asks for, by the protocol's own name for it. Returns why it cannot be done here and now, or
        nothing if it is begun. The host has made sure that an operator asks."""
        return f"this protocol knows no order {what!r}"

    def asked_again(self, position: Position) -> None:
        """A client has asked again for the answer to what was executed at `position`: it may wait for replicas that
        nobody has told of that decision."""
        return

    def computed(self, ticket: int, answer: bytes) -> None:
        """The job of this ticket is done. Never called for one that was handed out before a restart."""
        return

    def compute(self, job: Job) -> bytes:
        """Do a job of this core's. Pure, and beside everything else: it may run in another thread or process."""
        raise NotImplementedError(f"this protocol hands out no jobs: {job.work}")

    def waiting(self) -> Sequence[tuple[ClientId, int]]:
        """Client and number of every request that waits to be executed."""
        return ()

    def forget(self, requests: Sequence[tuple[ClientId, int]]) -> None:
        """A fetched state has executed these: they wait no longer, though they were never delivered here. Called
        before `transferred`."""
        return

    @abstractmethod
    def transferred(self, position: Position, digest: Digest) -> None:
        """The certified state at `position` has been installed."""

    @abstractmethod
    def standing(self) -> Standing:
        """Where this core stands."""


def sealed_bytes(domain: bytes, statement: Struct) -> bytes:
    """What a signature is computed over. `domain` binds format, cluster and epoch (see crypto/seals.py);
    the statement's tag binds its kind and its fields the view, position and digest."""
    return domain + sha256(_encode(statement)).digest()
