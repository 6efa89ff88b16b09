"""What a checker can watch: every event of a run, as methods that do nothing until a checker overrides them.

A checker holds one invariant and raises Violation when it breaks. It sees honest parties only, unless an event says
otherwise: what a liar does inside itself proves nothing. `Watch` calls just those checkers that override an event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from outvote.core.contract import Claim, Delivery, Record, Struct
from outvote.storage.contract import Ticket
from outvote.types import ClientId, Digest, Nanos, PartyId, Position, ReplicaId
from outvote.wire.client_messages import ReplyStatement

if TYPE_CHECKING:
    from outvote.core.committee import Committee
    from outvote.host.turn import Turn
    from outvote.machines.contract import Machine
    from outvote.machines.executor import Executor
    from outvote.protocols.catalogue import Protocol
    from outvote.simulator.plan import Plan
    from outvote.simulator.seals import SealRegistry


class Scene:
    """What checkers may look at: the run's numbers, who said what, and who lies by now."""

    __slots__ = (
        "committee", "durable", "left_behind", "liars", "machine", "mark", "now", "plan", "protocol", "registry",
        "turns",
    )

    def __init__(
        self, plan: Plan, protocol: Protocol, committee: Committee, registry: SealRegistry, liars: set[PartyId],
        now: Callable[[], Nanos], mark: Callable[[str, int], None], machine: Callable[[], Machine],
        durable: Callable[[ReplicaId], Ticket], turns: Callable[[], list[Turn]],
    ) -> None:
        self.plan = plan
        self.protocol = protocol
        self.committee = committee
        self.registry = registry
        self.liars = liars  # grows when an adversary corrupts somebody while the run goes on
        self.now = now  # the world's time
        self.mark = mark  # counts towards the coverage of a batch
        self.left_behind: set[ReplicaId] = set()  # honest, and cut off for good when the world healed
        self.machine = machine  # a fresh one, as every replica begins with
        self.durable = durable  # up to which ticket an honest replica's disk is synced
        self.turns = turns  # of the honest replicas that are up


class Checker:
    """Watches nothing. `replica` is an honest one in every event, `client` too."""

    invariants: ClassVar[tuple[str, ...]] = ()  # the names with which it raises Violation
    covers: ClassVar[tuple[str, ...]] = ()  # which of the numbered invariants of docs/invariants.md
    when: ClassVar[str] = ""  # it looks, for that page

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def started(self, replica: ReplicaId) -> None:
        """Begins from its disk: the first time, or again."""

    def read_back(self, replica: ReplicaId, position: Position, records: list[Record]) -> None:
        """Read its disk: a state and the records behind it. All that it remembers."""

    def recovered(self, replica: ReplicaId, turn: Turn) -> None:
        """Took over what it read, and is about to act on it."""

    def crashed(self, replica: ReplicaId) -> None:
        """Its process is gone; what was not synced may be too."""

    def said(self, party: PartyId, statement: Struct) -> None:
        """A statement left a party, sealed or over its channel: any party, liars and clients included."""

    def recorded(self, replica: ReplicaId, record: Record) -> None:
        """Appended to its disk, not synced yet."""

    def written(self, replica: ReplicaId, ticket: Ticket) -> None:
        """The records told of since the last call are durable once `scene.durable` has come to this ticket."""

    def delivered(
        self, replica: ReplicaId, delivery: Delivery, replies: list[ReplyStatement], history: Digest
    ) -> None:
        """Executed a decided batch, with these replies."""

    def installed(self, replica: ReplicaId, position: Position, history: Digest, from_disk: bool) -> None:
        """Took over a whole state, from its own disk or from others."""

    def executed(self, replica: ReplicaId, executor: Executor) -> None:
        """Stands behind one more position; told after `delivered`."""

    def imaged(self, replica: ReplicaId, position: Position, data: bytes) -> None:
        """Wrote down its whole state, or took one over, from its disk or from others: these bytes."""

    def checkpointed(self, replica: ReplicaId, position: Position, digest: Digest) -> None:
        """Digested its whole state."""

    def kept(self, replica: ReplicaId, position: Position, digest: Digest) -> None:
        """Stored a certified checkpoint: it is durable, and a restart begins from it."""

    def state_rotted(self, replica: ReplicaId, position: Position) -> None:
        """Somebody damaged states on its disk: the newest that can be read is of this position, 0 for none."""

    def log_rotted(self, replica: ReplicaId) -> None:
        """Somebody damaged the log on its disk."""

    def renewed(self, replica: ReplicaId, position: Position, digest: Digest, records: list[Record]) -> None:
        """A checkpoint is stable, and these are the records with which the log begins anew; told before `kept`."""

    def verified(self, replica: ReplicaId, claim: Claim) -> None:
        """Checked somebody's seal and found it genuine."""

    def turned(self, replica: ReplicaId, turn: Turn, promised: bool) -> None:
        """Ended a turn. `promised` is False while anything is not synced: what it decided may yet be forgotten."""

    def took_for_lie(self, replica: ReplicaId, party: PartyId, kind: str, text: str) -> None:
        """Dropped something as a lie of a party."""

    def accused(self, replica: ReplicaId, party: PartyId, first: Claimed, second: Claimed) -> None:
        """Holds evidence against a party: two sealed statements."""

    def requested(self, client: ClientId, number: int, operations: tuple[bytes, ...]) -> None:
        """An honest client issued a request."""

    def answered(self, client: ClientId, statement: ReplyStatement) -> None:
        """An honest client accepted this as the answer."""

    def reading(self, client: ClientId, number: int) -> None:
        """An honest client asks all replicas beside the order; `number` is below 0."""

    def read(self, client: ClientId, statement: ReplyStatement) -> None:
        """An honest client accepted this as what it read, of the state after `statement.position`."""

    def healed(self) -> None:
        """The safety phase is over: from here on only liars disturb."""

    def finished(self) -> None:
        """The run is over, every client done."""


Claimed = tuple[Struct, bytes]  # a statement and its seal

EVENTS = tuple(
    name for name, value in vars(Checker).items() if callable(value) and not name.startswith("_")
)


class Watch:
    """The checkers of one run, by event: `for told in watch.delivered: told(...)`."""

    started: list[Callable[..., None]]
    read_back: list[Callable[..., None]]
    recovered: list[Callable[..., None]]
    crashed: list[Callable[..., None]]
    said: list[Callable[..., None]]
    recorded: list[Callable[..., None]]
    written: list[Callable[..., None]]
    delivered: list[Callable[..., None]]
    executed: list[Callable[..., None]]
    imaged: list[Callable[..., None]]
    installed: list[Callable[..., None]]
    checkpointed: list[Callable[..., None]]
    kept: list[Callable[..., None]]
    state_rotted: list[Callable[..., None]]
    log_rotted: list[Callable[..., None]]
    renewed: list[Callable[..., None]]
    verified: list[Callable[..., None]]
    turned: list[Callable[..., None]]
    took_for_lie: list[Callable[..., None]]
    accused: list[Callable[..., None]]
    requested: list[Callable[..., None]]
    answered: list[Callable[..., None]]
    reading: list[Callable[..., None]]
    read: list[Callable[..., None]]
    healed: list[Callable[..., None]]
    finished: list[Callable[..., None]]

    def __init__(self, checkers: Iterable[Checker]) -> None:
        self.checkers = tuple(checkers)
        for event in EVENTS:
            told: list[Any] = [
                getattr(checker, event) for checker in self.checkers
                if getattr(type(checker), event) is not getattr(Checker, event)
            ]
            setattr(self, event, told)
