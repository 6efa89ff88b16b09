"""The typed state of one HoneyBadger replica. No behaviour but lookups."""

from __future__ import annotations

from typing import Final

from outvote.core.committee import Committee
from outvote.core.contract import Outbox, Request
from outvote.core.request_pool import RequestPool
from outvote.core.tally import Tally
from outvote.protocols.honeybadger.config import HoneyBadgerConfig
from outvote.protocols.honeybadger.epoch import Epoch, Words
from outvote.protocols.honeybadger.handing import Handover, Holding
from outvote.protocols.honeybadger.jobs import Desk
from outvote.protocols.honeybadger.keys import Keys
from outvote.protocols.honeybadger.membership import Members, Roster, first_roster
from outvote.protocols.honeybadger.messages import Batch, Certificate
from outvote.protocols.honeybadger.records import Passed, Reshared
from outvote.protocols.honeybadger.votes import CheckpointVotes
from outvote.types import Digest, Nanos, Position, ReplicaId

GENESIS: Final = Certificate(0, b"", ())


class State:
    """An epoch is a position. Epochs in play are all of one era: the next one begins behind a stable checkpoint."""

    def __init__(
        self, me: ReplicaId, committee: Committee, config: HoneyBadgerConfig, keys: Keys, out: Outbox
    ) -> None:
        self.me = me
        self.committee = committee  # the replicas of the genesis
        self.config = config
        self.keys = keys
        self.defers = keys.deferred
        self.out = out
        self.wall: Nanos = 0
        self.heard = 0  # grows with everything new

        self.delivered: Position = 0
        self.proposed: dict[Position, tuple[Request, ...]] = {}  # by us, in epochs under way: not picked again
        self.epochs: dict[Position, Epoch] = {}  # in play: above the low watermark, and not finished here
        self.finished: dict[Position, None] = {}  # above the low watermark, and nothing more to be said in them
        self.said: dict[Position, list[Words]] = {}  # above the low watermark: what is said again to who asks
        self.decided: dict[Position, Batch] = {}  # above the low watermark: delivered, or to be
        self.told: dict[Position, Tally[Digest]] = {}  # who said DECIDED, above `delivered`

        self.first_roster = first_roster(committee.n, config.learners)
        self.all_roster = first_roster(committee.n, 0)  # what a certificate without a roster says
        self.roster: Roster = self.first_roster  # as of `delivered`, or of the state that is being fetched
        self.members = Members(self.roster.era)  # of the epochs in play
        self.links: list[Certificate] = []  # by which this era follows from the first one
        self.rosters: dict[Position, Roster] = {}  # at checkpoints above the low watermark
        self.takes_part = self.members.place(me) is not None  # a member, and it holds a share
        self.wish = 0  # our owner's, of this era
        self.handover: Handover | None = None
        self.passed: list[Passed] = []  # of this era, from before a restart
        self.reshared: dict[Position, Reshared] = {}  # the same, by where they began
        self.holding: Holding | None = None  # of this era's keys; None in the first one, and of learners
        self.coming: Holding | None = None  # of the next era's, once that is agreed on

        self.certified: Certificate = GENESIS
        self.ahead: Certificate | None = None  # certified by others, not executed here yet
        self.own_digests: dict[Position, Digest] = {}
        self.checkpoint_votes = CheckpointVotes(self.members)
        self.fetching: Certificate | None = None
        self.executes_again = False
        self.stored: Position = 0

        self.pool = RequestPool()
        self.desk = Desk(out)

    @property
    def low(self) -> Position:
        return self.certified.position

    @property
    def high(self) -> Position:
        """No epoch behind it is in play: those of the next era have other members."""
        window = self.low + self.config.window
        return window if self.roster.last is None else min(window, self.roster.last)

    def roster_of(self, certificate: Certificate) -> Roster:
        if certificate.roster is not None:
            return certificate.roster
        return self.all_roster if certificate.position else self.first_roster

    def is_checkpoint(self, position: Position) -> bool:
        return position % self.config.checkpoint_interval == 0 or position in (self.roster.last, self.low)

    def place(self) -> ReplicaId:
        """Ours among the members, of whom we are one."""
        place = self.members.place(self.me)
        assert place is not None
        return place

    def in_play(self, epoch: Position) -> bool:
        """Whether words of this epoch are taken in: those behind may still be needed by others, and few ahead."""
        ahead = self.config.pipeline + self.config.epochs_ahead
        near = self.low < epoch <= min(self.high, self.delivered + ahead)
        return self.takes_part and near and epoch not in self.finished

    def stage(self, number: Position) -> int:
        """How far an epoch that is not over has come: not begun, begun, agreed, opened."""
        epoch = self.epochs.get(number)
        return 0 if epoch is None else 1 + epoch.agreed + (epoch.opened is not None)

    def epoch(self, number: Position) -> Epoch:
        found = self.epochs.get(number)
        if found is None:
            found = self.epochs[number] = Epoch(
                number, self.place(), self.members.committee, self.keys, self.config, self.desk
            )
        return found
