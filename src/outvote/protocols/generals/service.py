"""Attack at dawn, again and again: the generals lifted to positions, as a core that a host replicates a class with.

Time is cut into rounds of one length, by the time of day, and m + 1 rounds are a battle. Battle b is commanded by
general b mod n, who orders what requests wait with it, or nothing. When a battle is over, every general has decided on
the same batch or on none, and executes it at the next position. Nothing else is said, so idle generals are silent.

It stands on synchrony, and says so: clocks of loyal generals may differ, and messages with their disk writes may take,
by less than one round together. A general that notices that it was not there for a round, or that f + 1 others are
further, decides nothing any more: it may have missed what the others know, and no message tells it. There is no way
back, as the paper has none; it counts among the traitors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from outvote.core.committee import Committee
from outvote.core.contract import Core, Delivery, Message, Record, Request, Stable, Standing
from outvote.core.request_pool import RequestPool
from outvote.errors import Mistake
from outvote.protocols.generals.dispatches import (
    Commanded,
    Decided,
    Dispatch,
    OralDispatch,
    SignedDispatch,
    order_of,
)
from outvote.protocols.generals.general import General, check_battle
from outvote.protocols.generals.oral_messages import OralGeneral, OralMessage
from outvote.protocols.generals.orders import Order
from outvote.protocols.generals.signed_messages import SignedGeneral, SignedOrder
from outvote.types import MILLISECOND, ClientId, Digest, Nanos, Position, ReplicaId, Seal, Size

# Of one sender, for the next round: a lieutenant says one thing a path, and 8 x 7 = 56 paths end with it at n = 10.
EARLY_MAX: Final = 64


class GeneralsConfig(msgspec.Struct, frozen=True):
    """Equal at all generals."""

    round_ns: Nanos = 250 * MILLISECOND
    batch_requests_max: int = 64
    # An oral general may be told another batch along each of 401 paths (n = 10, m = 3): 26 MB.
    batch_bytes_max: int = 64 * 1024
    checkpoint_interval: int = 128

    def validated(self) -> GeneralsConfig:
        """Returns self. Raises Mistake."""
        for name in self.__struct_fields__:
            if getattr(self, name) < 1:
                raise Mistake(f"{name} is {getattr(self, name)}: it must be at least 1")
        return self


class GeneralsCore(Core):
    """One general of a service. `signed` chooses between SM(f) and OM(f)."""

    def __init__(self, me: ReplicaId, committee: Committee, config: GeneralsConfig, signed: bool) -> None:
        super().__init__(me)
        self.committee = committee
        self.config = config.validated()
        self.signed = signed
        self.m = committee.faults
        check_battle(committee.n, self.m, oral=not signed)
        self.pool = RequestPool()
        self.position: Position = 0
        self.stable: Position = 0
        self.decided_in = 0  # the battle of the last position
        self.commanded: Commanded | None = None  # my last order, ever
        self.decided: list[Decided] = []  # behind the stable position
        self.astray = ""  # why I take part no more
        self.round = -1  # that is under way, counted from the beginning of time; -1: not begun
        self.joins = 0  # the first battle that I take part in
        self.general: General | None = None  # of the battle that is under way
        self.bodies: dict[Order, tuple[Request, ...]] = {}  # of the orders heard in it
        self.heights: dict[ReplicaId, Position] = {}  # what others said in it
        self.early: dict[ReplicaId, list[tuple[Dispatch, Seal]]] = {}  # said for the next round

    # ------------------------------------------------------------------ calls in

    def restore(self, position: Position, digest: Digest, records: Sequence[Record]) -> None:
        self.position = self.stable = position
        for record in records:
            if isinstance(record, Commanded):
                self.commanded = record
            elif isinstance(record, Decided) and record.position == self.position + 1:
                self._deliver(record)
        if position or records:
            self.astray = "was away for some rounds"
        self._advance()

    def summary(self) -> list[Record]:
        return [*([self.commanded] if self.commanded is not None else []), *self.decided]

    def submit(self, requests: Sequence[Request]) -> None:
        self._advance()
        for request in requests:
            self.pool.add(request)

    def room(self, client: ClientId) -> int:
        return self.pool.room(client)

    def admits(self, sender: ReplicaId, message: Message) -> bool:
        """Messages of the round under way that the component admits, and a few of the next."""
        if not isinstance(message, OralDispatch | SignedDispatch) or sender == self.me or self.astray:
            return False
        ahead = self._round_of(message) - self._round_now()
        if ahead == 1:
            return len(self.early.get(sender, ())) < EARLY_MAX
        if ahead or self.general is None or self._spoils(message):
            return False
        return self.general.admits(sender, message.inner())

    def receive(self, sender: ReplicaId, message: Message, seal: Seal) -> None:
        self._advance()
        if isinstance(message, OralDispatch | SignedDispatch) and sender != self.me and not self.astray:
            self._take(sender, message, seal)

    def wake(self) -> None:
        self._advance()

    def executed(self, position: Position, digest: Digest) -> None:
        """A general that comes back takes no part any more, so its own word for the state is enough."""
        self.stable = position
        self.decided = [one for one in self.decided if one.position > position]
        self.out.stable.append(Stable(position, digest))

    def waiting(self) -> Sequence[tuple[ClientId, int]]:
        return [request.key for request in self.pool.waiting()]

    def transferred(self, position: Position, digest: Digest) -> None:
        """Never asked for."""

    def standing(self) -> Standing:
        note = f"out of the battle: {self.astray}" if self.astray else "in battle" if self.bodies else "waiting"
        commander = self.general.commander if self.general is not None else self.me
        return Standing(
            self.decided_in, not self.astray, commander, self.position, self.stable, len(self.pool), note
        )

    # ------------------------------------------------------------------ rounds

    @property
    def rounds(self) -> int:
        return self.m + 1

    def _round_now(self) -> int:
        return self.wall // self.config.round_ns

    def _round_of(self, message: Dispatch) -> int:
        return message.battle * self.rounds + len(message.path) - 1

    def _advance(self) -> None:
        """Play the rounds that have begun meanwhile; and wake when the next one does."""
        now = self._round_now()
        if self.round < 0:
            self.round = now
            self.joins = now // self.rounds + 1
        elif now > self.round + 1 and not self.astray:
            # Two at once: what I ought to have said in the one between is missing at the others.
            self._stray("slept through a round")
        while self.round < now and not self.astray:
            self.round += 1
            self._begin_round()
        self.round = max(self.round, now)
        self.wake_at = self.now + max(1, (now + 1) * self.config.round_ns - self.wall)

    def _begin_round(self) -> None:
        battle, round_ = divmod(self.round, self.rounds)
        if self.general is not None:
            self.general.next_round()
        if round_ == 0:
            self._end_battle(battle - 1)
            if battle >= self.joins and not self.astray:
                self._begin_battle(battle)
        self._dispatch(battle)
        early, self.early = self.early, {}
        for sender, held in early.items():
            for message, seal in held:
                self._take(sender, message, seal)

    def _may_command(self, battle: int) -> bool:
        """Not twice in one battle, and not in the first: others may join one battle later."""
        return battle > self.joins and (self.commanded is None or battle > self.commanded.battle)

    def _begin_battle(self, battle: int) -> None:
        n, commander = self.committee.n, battle % self.committee.n
        self.general = (
            SignedGeneral(self.me, n, self.m, commander, battle=battle)
            if self.signed
            else OralGeneral(self.me, n, self.m, commander)
        )
        self.bodies = {}
        self.heights = {}
        requests: tuple[Request, ...] = ()
        if commander == self.me and self._may_command(battle) and self.pool.has_unproposed():
            requests = self.pool.cut(self.config.batch_requests_max, self.config.batch_bytes_max)
        if requests:
            order = order_of(requests)
            self.bodies[order] = requests
            self.commanded = Commanded(battle, order)
            self.out.records.append(self.commanded)
            self.general.start(order)
        else:
            self.general.start()
            self.general.out.clear()  # to say nothing is to order nothing

    def _end_battle(self, battle: int) -> None:
        general, self.general = self.general, None
        if general is None:
            return
        order = general.decision()
        if order != general.default:
            began = battle * self.rounds * self.config.round_ns
            decided = Decided(self.position + 1, battle, began, self.bodies[order])
            self.out.records.append(decided)
            self._deliver(decided)
        if general.commander == self.me:
            self.pool.propose_again()

    def _deliver(self, decided: Decided) -> None:
        self.position = decided.position
        self.decided_in = decided.battle
        self.decided.append(decided)
        for request in decided.requests:
            self.pool.mark_executed(request)
        # An answer comes back during the next battle, so a client's next request is in time for the one after it.
        hint = decided.battle + 2
        checkpoint = decided.position % self.config.checkpoint_interval == 0
        self.out.deliveries.append(Delivery(decided.position, decided.time, decided.requests, hint, checkpoint))

    def _stray(self, why: str) -> None:
        self.astray = why
        self.general = None
        self.bodies = {}
        self.early = {}

    # ------------------------------------------------------------------ messages

    def _dispatch(self, battle: int) -> None:
        """What the component says goes out with the batch that it is about."""
        general = self.general
        if general is None:
            return
        for receiver, message in general.out.messages:
            if isinstance(message, SignedOrder):
                requests = self.bodies[message.order]
                said: Dispatch = SignedDispatch(
                    battle, self.position, message.signers, message.order, message.seals, requests
                )
            elif isinstance(message, OralMessage) and message.order in self.bodies:
                said = OralDispatch(battle, self.position, message.path, message.order, self.bodies[message.order])
            else:
                continue  # to have heard nothing is the default, which goes without saying
            self.out.messages.append((receiver, said))
        general.out.clear()

    def _take(self, sender: ReplicaId, message: Dispatch, seal: Seal) -> None:
        ahead = self._round_of(message) - self.round
        if ahead == 1:
            held = self.early.setdefault(sender, [])
            if len(held) < EARLY_MAX:
                held.append((message, seal))
            return
        if ahead or self.general is None:
            return  # late counts as never said, and is no lie: perhaps it was a clock
        why = self._spoils(message)
        if why:
            self.out.lies.append((sender, why))
            return
        self._weigh(sender, message.height)
        if self.general is None:
            return
        if self.general.admits(sender, message.inner()):
            self.bodies[message.order] = message.requests
        self.general.receive(sender, message.inner(), seal)
        self.out.lies += self.general.out.lies
        self.general.out.lies.clear()

    def _spoils(self, message: Dispatch) -> str:
        """What is wrong with it whatever the round; empty if nothing is."""
        if isinstance(message, SignedDispatch) is not self.signed:
            return "a dispatch of the other algorithm"
        if not 0 < len(message.requests) <= self.config.batch_requests_max:
            return f"a batch of {len(message.requests)} requests"
        # A batch may hold one request that is larger alone: a pool cuts at least one.
        size = sum(one.size_bytes() for one in message.requests)
        if len(message.requests) > 1 and size > self.config.batch_bytes_max:
            return "a batch that is too large"
        if message.order != order_of(message.requests):
            return "an order for other requests"
        return ""

    def _weigh(self, sender: ReplicaId, height: Position) -> None:
        """f + 1 others, one of them loyal, have executed more than I have: I was not there."""
        self.heights[sender] = height
        if sum(one > self.position for one in self.heights.values()) > self.committee.faults:
            self._stray("others have executed more")

    def sizes(self) -> Iterator[Size]:
        """What others can make grow, and its limits."""
        yield from self.pool.sizes()
        yield "early dispatches", sum(len(held) for held in self.early.values()), EARLY_MAX * self.committee.n
        yield "decided batches", len(self.decided), self.config.checkpoint_interval
