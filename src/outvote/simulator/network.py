"""A network that loses, doubles, delays, reorders and cuts; it never lies about a sender, as TLS would not."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from outvote.simulator.plan import Plan
from outvote.types import Nanos, PartyId

Action = Callable[[], None]


class SimulatedNetwork:
    """Carries anything between parties; `after(delay, action)` schedules in the world's time."""

    def __init__(self, plan: Plan, rng: Random, after: Callable[[Nanos, Action], None]) -> None:
        self._rng = rng
        self._after = after
        self._delay_min = plan.delay_min
        self._delay_mean = plan.delay_mean
        self._loss = plan.loss
        self._duplication = plan.duplication
        self._cut: dict[tuple[PartyId, PartyId], int] = {}
        self.lost = 0
        self.doubled = 0

    def carry(self, sender: PartyId, receiver: PartyId, deliver: Action) -> None:
        """Schedule `deliver` never, once or twice."""
        rng = self._rng
        if self._cut.get((sender, receiver)) or (self._loss and rng.random() < self._loss):
            self.lost += 1
            return
        self._after(self._delay(), deliver)
        if self._duplication and rng.random() < self._duplication:
            self.doubled += 1
            self._after(self._delay(), deliver)

    def _delay(self) -> Nanos:
        """Exponential, so that later messages often overtake earlier ones."""
        return self._delay_min + int(self._rng.expovariate(1.0) * self._delay_mean)

    def cut(self, sender: PartyId, receiver: PartyId) -> None:
        self._cut[sender, receiver] = self._cut.get((sender, receiver), 0) + 1

    def heal(self, sender: PartyId, receiver: PartyId) -> None:
        self._cut[sender, receiver] = max(0, self._cut.get((sender, receiver), 0) - 1)

    def heal_all(self) -> None:
        """The end of the safety phase: from here on only liars disturb."""
        self._cut.clear()
        self._loss = 0.0
        self._duplication = 0.0
        self._delay_mean = min(self._delay_mean, 5_000_000)
