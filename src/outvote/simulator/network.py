"""A network that loses, doubles, delays, reorders, clogs, resets and cuts; as with TLS, it never lies about a sender.

Each directed link has rates and a stream of chance of its own: taking one fault away leaves the other links' draws as
they were, which is what makes a failure shrink.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random

from outvote.simulator.link import Action, Link, Rates
from outvote.simulator.plan import Plan
from outvote.types import FIRST_CLIENT, MILLISECOND, Nanos, PartyId

FRAME_BYTES = 400  # of what is handed over without a size: requests and replies
HEALED_DELAY_MEAN_MAX: Nanos = 5 * MILLISECOND
# How much of the plan's rates a link gets: networks are not evenly bad.
SHARES = (0.0, 0.5, 1.0, 1.0, 1.5)
LOSS_MAX, DUPLICATION_MAX = 0.3, 0.5


class SimulatedNetwork:
    """Carries anything between parties: places of replicas, and clients."""

    def __init__(
        self, plan: Plan, seed: int, now: Callable[[], Nanos], after: Callable[[Nanos, Action], None]
    ) -> None:
        self._plan = plan
        self._seed = seed
        self._now = now
        self._after = after
        self._links: dict[tuple[PartyId, PartyId], Link] = {}
        self._healed_among: Callable[[PartyId], bool] | None = None
        self.counts: dict[str, int] = {}  # by name of a coverage mark

    @property
    def lost(self) -> int:
        return self.counts.get("messages lost", 0) + self.counts.get("bandwidth: frames dropped", 0)

    def carry(
        self, sender: PartyId, receiver: PartyId, deliver: Action, size: int = FRAME_BYTES
    ) -> None:
        """Schedule `deliver` never, once or more often. `size` in bytes."""
        (self._links.get((sender, receiver)) or self.link(sender, receiver)).carry(deliver, size)

    def link(self, sender: PartyId, receiver: PartyId) -> Link:
        """Made when it is first used: what a link draws depends on nothing but the seed and its ends."""
        link = self._links.get((sender, receiver))
        if link is None:
            rng = Random(self._seed << 64 | sender << 32 | receiver)
            link = Link(self._rates(rng), rng, self._now, self._after, self.counts)
            if self._healed_among is not None and self._healed_among(sender) and self._healed_among(receiver):
                self._calm(link)
            self._links[sender, receiver] = link
        return link

    def _rates(self, rng: Random) -> Rates:
        plan = self._plan
        loss, duplication, replay, slow, narrow = (rng.choice(SHARES) for _ in range(5))
        if not plan.uneven:
            loss = duplication = replay = slow = narrow = 1.0
        return Rates(
            delay_min=plan.delay_min,
            delay_mean=int(plan.delay_mean * (slow or 0.1)),
            heavy_tail=plan.heavy_tail,
            in_order=plan.in_order,
            loss=min(LOSS_MAX, plan.loss * loss) if plan.uneven else plan.loss,
            duplication=min(DUPLICATION_MAX, plan.duplication * duplication) if plan.uneven else plan.duplication,
            replay=plan.replay * replay,
            bytes_per_second=int(plan.bandwidth * (narrow or 0.25)),
        )

    def cut(self, sender: PartyId, receiver: PartyId) -> None:
        self.link(sender, receiver).cut()

    def is_cut(self, sender: PartyId, receiver: PartyId) -> bool:
        return self.link(sender, receiver).is_cut

    def heal(self, sender: PartyId, receiver: PartyId) -> None:
        self.link(sender, receiver).heal()

    def heal_among(self, places: Iterable[PartyId]) -> None:
        """Links among these replicas, and between them and all clients, are whole from here on; others stay as bad as
        they are."""
        chosen = frozenset(places)
        self._healed_among = lambda party: party >= FIRST_CLIENT or party in chosen
        for (sender, receiver), link in self._links.items():
            if self._healed_among(sender) and self._healed_among(receiver):
                self._calm(link)

    def _calm(self, link: Link) -> None:
        plan = self._plan
        link.rates = Rates(
            delay_min=plan.delay_min, delay_mean=min(plan.delay_mean, HEALED_DELAY_MEAN_MAX), in_order=plan.in_order
        )
        link.heal_all()
