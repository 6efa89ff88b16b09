"""The typed state of one PBFT replica. No behaviour but lookups and `check_invariants`."""

from __future__ import annotations

from outvote.core.checkpoints import GENESIS, CheckpointCertificate, CheckpointVotes
from outvote.core.committee import Committee
from outvote.core.contract import Message, Outbox
from outvote.core.request_pool import RequestPool
from outvote.core.timers import Timers
from outvote.protocols.pbft.authenticators.state import Unsigned
from outvote.protocols.pbft.config import PbftConfig
from outvote.protocols.pbft.form import Form
from outvote.protocols.pbft.messages import BriefPrePrepare, NewView, SealedViewChange, ViewChange
from outvote.protocols.pbft.performance import Performance
from outvote.protocols.pbft.slot import Slot
from outvote.types import ClientId, Digest, Nanos, Position, ReplicaId, Seal, View


class State:
    """The paper's letters stand in the comments."""

    def __init__(self, me: ReplicaId, committee: Committee, config: PbftConfig, out: Outbox, form: Form) -> None:
        self.me = me  # i
        self.committee = committee  # |R|, f
        self.config = config
        self.form = form
        self.out = out
        self.now: Nanos = 0
        self.wall: Nanos = 0

        self.view: View = 0  # v
        self.active = True  # False between VIEW-CHANGE(v) and NEW-VIEW(v)
        self.new_view: tuple[NewView, Seal] | None = None  # what the current view was entered by; None in view 0
        self.announced: NewView | None = None  # sent as primary of `view`, not entered yet
        self.my_view_change: ViewChange | None = None  # the last one sent
        self.view_changes: dict[ReplicaId, SealedViewChange] = {}  # highest view of each sender only
        self.asked: dict[ReplicaId, View] = {}  # the highest view that each replica's VIEW-CHANGE was for
        self.unsigned = Unsigned()  # what the form without signatures keeps instead of the four above
        self.required: dict[Position, Digest] = {}  # the paper's O: what the new view must propose first
        self.required_end: Position = 0  # last position of O; later ones are free
        self.early: dict[ReplicaId, list[tuple[Message, Seal]]] = {}  # of views not yet entered; bounded

        self.slots: dict[Position, Slot] = {}  # only positions above the low watermark
        self.next_position: Position = 1  # the primary's next proposal
        self.delivered: Position = 0

        self.certified: CheckpointCertificate = GENESIS  # its position is h, the low watermark
        self.ahead: CheckpointCertificate | None = None  # certified by others, not executed here yet
        self.own_digests: dict[Position, Digest] = {}  # checkpoints executed here, not stable yet
        self.checkpoint_votes = CheckpointVotes(committee)
        self.fetching: CheckpointCertificate | None = None
        self.executes_again = False  # from the log up to h, whose snapshot a crash kept from being stored
        self.stored: Position = 0  # of a state that was on the disk before a quorum had certified it to us
        self.fetch_deadline: Nanos = 0
        self.fetch_patience_ns: Nanos = 0

        self.pool = RequestPool()
        self.performance = Performance()  # of the primary, as this backup measures it
        self.timers = Timers()
        self.accepted_end: Position = 0  # highest position accepted in this view
        self.asks_until: Nanos = 0  # after a restart: how long to behave as if something were missing
        self.delivered_last_tick: Position = 0
        self.awaited: tuple[ClientId, int] | Position | None = None  # what the view timer watches
        self.suspected = False  # the current primary has convicted itself
        self.fruitless_views = 0  # view changes since the last delivery
        self.view_timeout_ns: Nanos = config.view_timeout_ns  # of the current view
        self.answered_status: dict[ReplicaId, Nanos] = {}

        self.heard_delivered: dict[ReplicaId, Position] = {}  # how far others said they are, by their last STATUS
        self.pushed_at: dict[ReplicaId, Nanos] = {}  # when they were last told of decisions unasked
        self.decided_end: Position = 0  # highest position decided, perhaps behind a gap
        # Proposals of this view whose large requests have not come yet, with the primary's seal; one a position.
        self.briefs: dict[Position, tuple[BriefPrePrepare, Seal]] = {}
        self.tentative_end: Position = 0  # highest position executed tentatively in this view
        self.readable_from: Position = 0  # clients may read the state of this position and later ones
        self.reached_nonce = 0  # of our question after a restart; 0: answered, or never asked
        self.reached_told: dict[ReplicaId, Position] = {}  # the answers

    @property
    def low(self) -> Position:
        """h"""
        return self.certified.position

    @property
    def high(self) -> Position:
        """H = h + L"""
        return self.certified.position + self.config.window

    @property
    def answered(self) -> Position:
        """Up to here clients have their answers, perhaps as tentative ones."""
        return max(self.delivered, self.tentative_end)

    def leader(self) -> ReplicaId:
        """The primary of the current view."""
        return self.committee.leader(self.view)

    def leads(self) -> bool:
        return self.active and self.committee.leader(self.view) == self.me

    def in_window(self, position: Position) -> bool:
        return self.certified.position < position <= self.certified.position + self.config.window

    def slot(self, position: Position) -> Slot:
        """The slot of a position inside the window."""
        slot = self.slots.get(position)
        if slot is None:
            slot = self.slots[position] = Slot(position)
        return slot

    def check_invariants(self) -> None:
        """What must hold after every call; cheap enough to leave on."""
        certified = self.certified
        assert self.delivered >= certified.position or self.fetching is not None, "forgotten before it was executed"
        assert len(self.slots) <= self.config.window, "slots outside the window"
        assert certified.position == 0 or certified.seals, "a stable checkpoint has a certificate"
