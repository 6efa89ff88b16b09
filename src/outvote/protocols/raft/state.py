"""The typed state of one Raft replica. No behaviour but lookups and `check_invariants`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from outvote.core.committee import Committee
from outvote.core.contract import Outbox
from outvote.core.request_pool import RequestPool
from outvote.core.timers import Timers
from outvote.protocols.raft.config import RaftConfig
from outvote.protocols.raft.log import Log
from outvote.protocols.raft.members import Members, first_members
from outvote.protocols.raft.messages import InstallSnapshot
from outvote.protocols.raft.records import NOBODY
from outvote.types import Digest, Nanos, Position, ReplicaId

Role = Literal["follower", "pre-candidate", "candidate", "leader"]
LONG_AGO: Final = -(1 << 62)  # before anything was heard of anybody


class Slot:
    """A damaged entry."""

    __slots__ = ("asked", "compacted", "dont_have")

    def __init__(self) -> None:
        self.dont_have: dict[ReplicaId, None] = {}  # who said so, in this term
        self.compacted = False  # somebody has only a state that stands for it
        self.asked = 0  # how often


class Repair:
    """What has to be mended of the log."""

    __slots__ = ("faulty", "pending", "state_of", "unidentified")

    def __init__(self) -> None:
        self.faulty: dict[Position, Slot] = {}  # in ascending order
        self.pending = False  # elected, and the term begins when the log is whole
        self.state_of: Position = 0  # a state of this position or later is needed, for what nobody holds as an entry
        self.unidentified: Position | None = None  # written from here on since identifiers were


class Peer:
    """What a leader knows of one follower."""

    __slots__ = (
        "asked", "confirmed", "heard_at", "in_flight", "match", "moved_at", "next", "probing",
        "sent_from", "snapshot_at",
    )

    def __init__(self, following: Position, now: Nanos) -> None:
        self.next: Position = following  # the paper's nextIndex: optimistic
        self.match: Position = 0  # matchIndex: only from acknowledgements of this term
        self.probing = True  # nothing is known of its log: one message at a time
        self.sent_from: Position = following  # where the last message with entries began
        self.in_flight: list[Position] = []  # the last positions of entries on their way
        self.heard_at: Nanos = now  # when it last answered in this term; at first, when the term began
        self.moved_at: Nanos = now  # when `match` last grew, or something was sent to one that lacked nothing
        self.snapshot_at: Nanos = LONG_AGO  # when it was last offered a snapshot
        self.confirmed = 0  # the last heartbeat round that it has answered
        self.asked: tuple[int, int, Position] | None = None  # its read query: context, round, position


class State:
    """The paper's names stand in the comments."""

    def __init__(self, me: ReplicaId, committee: Committee, config: RaftConfig, out: Outbox) -> None:
        self.me, self.committee = me, committee
        self.config = config
        self.out = out
        self.now: Nanos = 0
        self.wall: Nanos = 0

        self.term = 0  # currentTerm
        self.voted: ReplicaId = NOBODY  # votedFor
        self.log = Log()
        self.role: Role = "follower"
        self.leader: ReplicaId = NOBODY  # of this term, as far as known
        self.commit: Position = 0  # commitIndex
        self.delivered: Position = 0  # lastApplied
        self.verified: Position = 0  # up to here this term's leader has said that the log is its own

        self.base_members: Members = first_members(committee.n, config.learners)  # as of the log's beginning
        # The newest in the log, committed or not, and the one before it.
        self.members = self.members_before = self.base_members
        self.members_at: Position = 0  # where the newest stands

        self.heard_at: Nanos = LONG_AGO  # when the leader was last heard of
        self.fruitless = 0  # elections begun since anything was committed
        self.votes: dict[ReplicaId, None] = {}  # for us, in this election or pre-election
        self.forced = False  # the leader itself asked us to begin this election

        self.peers: dict[ReplicaId, Peer] = {}  # a leader's
        self.flushed: Position = 0  # a leader's own log is durable up to here
        self.term_start: Position = 0  # the entry with which a leader's term began
        self.round = 0  # of heartbeats in this term
        self.round_sent: dict[int, Nanos] = {}  # of rounds not yet confirmed
        self.lease_until: Nanos = LONG_AGO
        self.transferring: ReplicaId = NOBODY  # whom a leader is handing over to
        self.snapshot_wanted = False  # somebody needs a state newer than our last

        self.tickets = 0  # handed out to reads
        self.tickets_asked = 0  # up to which the attempt under way reaches
        self.tickets_confirmed = 0
        self.read_round = 0  # of the attempt under way, at a leader; 0: none
        self.read_index: Position = 0  # of that attempt
        self.beat_due = False  # a read waits for a round of heartbeats that begins now
        self.read_context = 0  # of the attempt under way, at a follower; 0: none
        self.read_from: Position = 0  # what has to be executed before confirmed reads are answered
        self.read_asked_at: Nanos = 0  # when the attempt under way began
        self.known_at: Nanos | None = None  # when the last attempt that was confirmed began
        self.repair = Repair()
        self.incarnation = 0
        self.contexts = 0  # of this incarnation; 0: it has not asked yet

        self.stable: Position = 0  # of the last snapshot
        self.told_stable: Position = 0  # the highest ever, also where the disk has lost that state since
        self.stable_term = 0
        self.stable_digest: Digest = b""
        self.stable_members: Members = self.base_members
        self.fetching: InstallSnapshot | None = None
        self.fetched: Position = 0  # taken over and not yet durable; nothing of it is acknowledged before

        self.pool = RequestPool()
        self.timers = Timers()

    @property
    def leads(self) -> bool:
        return self.role == "leader"

    @property
    def keeps_data(self) -> bool:
        """False for a witness."""
        return self.config.keeps_data(self.me)

    @property
    def may_lead(self) -> bool:
        """A voter that keeps data: what a leader lacks it can give nobody. Also one whose log says that it votes no
        longer, until that is certain (thesis, section 4.2.2): it may be the only one that could be elected."""
        votes = self.members.votes(self.me)
        return self.keeps_data and (votes or (self.members_at > self.commit and self.members_before.votes(self.me)))

    @property
    def lacks_state(self) -> bool:
        """The disk has lost the state that the log begins with, or one must stand for a damaged entry."""
        return self.keeps_data and max(self.log.base, self.repair.state_of) > self.delivered

    @property
    def whole_to(self) -> Position:
        """Before the first damaged entry."""
        return next(iter(self.repair.faulty)) - 1 if self.repair.faulty else self.log.last

    @property
    def majority_of_one(self) -> bool:
        return self.members.agree((self.me,))

    def others(self) -> Iterator[ReplicaId]:
        """All other replicas: voters and learners alike follow the log."""
        return (replica for replica in range(self.committee.n) if replica != self.me)

    def timeout_ns(self) -> Nanos:
        """The election timeout: it doubles with each fruitless election, up to its limit."""
        config = self.config
        return config.view_timeout_ns * min(1 << max(0, min(self.fruitless, 30) - 1), config.view_timeout_growth_max)

    def check_invariants(self) -> None:
        """What must hold after every call; cheap enough to leave on."""
        assert self.delivered <= self.commit <= max(self.log.last, self.log.base), "committed what is not there"
        assert self.stable <= self.delivered or self.fetching is not None, "a snapshot of what is not executed"
        assert not self.leads or self.leader == self.me, "leads and follows"
