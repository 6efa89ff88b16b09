"""Faults that come and go by themselves while a test runs: crashes and partitions, drawn from the seed.

One at a time, each over within a third of a second of virtual time. While calls wait and nothing is decided, the pauses
between them grow: so every call is answered in the end, as it would be on a network that is bad and not for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from random import Random
from typing import Final

from outvote.testing.world import DrivenWorld
from outvote.types import MILLISECOND, ReplicaId

MEAN_PAUSE_NS: Final = 100 * MILLISECOND  # a call takes ten; so twenty calls see one or two
LASTS_MAX_NS: Final = 300 * MILLISECOND
DOUBLINGS_MAX: Final = 7  # pauses of 12.8 s: longer than any view's timeout
PORT_CALLS_MAX: Final = 24  # a crash falls between any two steps of what the replica does next
ALL_AT_ONCE: Final = 0.1  # how often the power goes everywhere


class Weather:
    """`kept_down` are replicas that the test itself has crashed: they do not come back by themselves. `waiting` says
    whether any call waits."""

    def __init__(
        self, world: DrivenWorld, faults: Collection[str], kept_down: Collection[ReplicaId],
        waiting: Callable[[], bool],
    ) -> None:
        self._world = world
        self._rng = Random(world.plan.seed + 2)
        self._kept_down = kept_down
        self._waiting = waiting
        self._kinds = [
            fault for name, fault in (("crashes", self._crash), ("partitions", self._cut)) if name in faults
        ]
        self._doublings = 0
        self._decided = 0
        self.calm = False
        if self._kinds:
            self._pause()

    def _pause(self) -> None:
        decided = max(self._world.deliveries, default=0)
        stuck = self._waiting() and decided == self._decided
        self._doublings = min(DOUBLINGS_MAX, self._doublings + 1) if stuck else 0
        self._decided = decided
        mean = MEAN_PAUSE_NS << self._doublings
        self._world.after(mean // 2 + int(self._rng.expovariate(2.0) * mean), self._come)

    def _come(self) -> None:
        over = None if self.calm else self._rng.choice(self._kinds)()
        self._world.after(self._rng.randrange(MILLISECOND, LASTS_MAX_NS), lambda: self._go(over))

    def _go(self, over: Callable[[], None] | None) -> None:
        if over is not None:
            over()
        self._pause()

    def _crash(self) -> Callable[[], None]:
        rng, world = self._rng, self._world
        n = world.plan.n
        crashed = list(range(n)) if rng.random() < ALL_AT_ONCE else [rng.randrange(n)]
        for place in crashed:
            world.replicas[place].crash_after(rng.randrange(1, PORT_CALLS_MAX))

        def over() -> None:
            for place in crashed:
                world.replicas[place].no_more_crashes()
                if place not in self._kept_down:
                    world.replicas[place].start()

        return over

    def _cut(self) -> Callable[[], None]:
        rng, network = self._rng, self._world.network
        n = self._world.plan.n
        side = rng.sample(range(n), rng.randrange(1, n)) if n > 1 else []
        pairs = [(a, b) for a in range(n) for b in range(n) if (a in side) != (b in side)]
        for pair in pairs:
            network.cut(*pair)

        def over() -> None:
            for pair in pairs:
                network.heal(*pair)

        return over
