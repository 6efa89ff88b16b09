"""Clocks that are off and drift. Simulated skew is just another `now`."""

from __future__ import annotations

from collections.abc import Callable

from outvote.types import Nanos


class SkewedClock:
    """`time` is the world's; `drift_ppm` parts in a million fast or slow; `offset_ns` off the true time of day."""

    def __init__(self, time: Callable[[], Nanos], offset_ns: Nanos, drift_ppm: int) -> None:
        self._time = time
        self.offset_ns = offset_ns
        self.drift_ppm = drift_ppm

    def now(self) -> Nanos:
        true = self._time()
        return true + true * self.drift_ppm // 1_000_000

    def wall(self) -> Nanos:
        return WALL_START_NS + self.now() + self.offset_ns

    def true_delay(self, local_ns: Nanos) -> Nanos:
        """How long a stretch of this clock lasts in the world, rounded up."""
        return local_ns * 1_000_000 // (1_000_000 + self.drift_ppm) + 1


WALL_START_NS: Nanos = 1_700_000_000 * 10**9  # any instant will do; fixed, so that runs repeat
