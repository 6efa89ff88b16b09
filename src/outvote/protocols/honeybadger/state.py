"""The typed state of one HoneyBadger replica. No behaviour but lookups."""

from __future__ import annotations

from outvote.core.checkpoints import GENESIS, CheckpointCertificate, CheckpointVotes
from outvote.core.committee import Committee
from outvote.core.contract import Outbox, Request
from outvote.core.request_pool import RequestPool
from outvote.core.tally import Tally
from outvote.protocols.honeybadger.config import HoneyBadgerConfig
from outvote.protocols.honeybadger.epoch import Epoch, Words
from outvote.protocols.honeybadger.jobs import Desk
from outvote.protocols.honeybadger.keys import Keys
from outvote.protocols.honeybadger.messages import Batch
from outvote.types import Digest, Nanos, Position, ReplicaId


class State:
    """An epoch is a position."""

    def __init__(
        self, me: ReplicaId, committee: Committee, config: HoneyBadgerConfig, keys: Keys, out: Outbox
    ) -> None:
        self.me = me
        self.committee = committee
        self.config = config
        self.keys = keys
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

        self.certified: CheckpointCertificate = GENESIS
        self.ahead: CheckpointCertificate | None = None  # certified by others, not executed here yet
        self.own_digests: dict[Position, Digest] = {}
        self.checkpoint_votes = CheckpointVotes(committee)
        self.fetching: CheckpointCertificate | None = None
        self.executes_again = False
        self.stored: Position = 0

        self.pool = RequestPool()
        self.desk = Desk(out)

    @property
    def low(self) -> Position:
        return self.certified.position

    @property
    def high(self) -> Position:
        return self.low + self.config.window

    def in_play(self, epoch: Position) -> bool:
        """Whether words of this epoch are taken in: those behind may still be needed by others, and few ahead."""
        ahead = self.config.pipeline + self.config.epochs_ahead
        return self.low < epoch <= min(self.high, self.delivered + ahead) and epoch not in self.finished

    def epoch(self, number: Position) -> Epoch:
        found = self.epochs.get(number)
        if found is None:
            found = self.epochs[number] = Epoch(
                number, self.me, self.committee, self.keys, self.config, self.desk
            )
        return found
