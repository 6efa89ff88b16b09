"""Clocks that are off, drift, jump and stand still. Simulated skew is just another `now`.

Kept: `now` never runs backwards, whatever happens to the time of day; both follow from the world's time alone.
"""

from __future__ import annotations

from collections.abc import Callable

from outvote.types import NEVER, Nanos

WALL_START_NS: Nanos = 1_700_000_000 * 10**9  # any instant will do; fixed, so that runs repeat


class SkewedClock:
    """`time` is the world's; `drift_ppm` parts in a million fast or slow; `offset_ns` off the true time of day."""

    def __init__(self, time: Callable[[], Nanos], offset_ns: Nanos, drift_ppm: int) -> None:
        self._time = time
        self.offset_ns = offset_ns
        self.drift_ppm = drift_ppm
        self._since: Nanos = 0  # the world's time when it last was set, frozen or woken
        self._base: Nanos = 0  # what it showed then
        self.frozen = False
        self._is_disciplined = False

    def now(self) -> Nanos:
        if self.frozen:
            return self._base
        elapsed = self._time() - self._since
        drift = self.drift_ppm
        return self._base + elapsed + (elapsed * drift // 1_000_000 if drift else 0)

    def wall(self) -> Nanos:
        return WALL_START_NS + (self._time() if self._is_disciplined else self.now()) + self.offset_ns

    def true_delay(self, local_ns: Nanos) -> Nanos:
        """How long a stretch of this clock lasts in the world, rounded up; NEVER while it stands still."""
        if self.frozen:
            return NEVER
        return local_ns * 1_000_000 // (1_000_000 + self.drift_ppm) + 1

    def freeze(self) -> None:
        """Both clocks stand still until `thaw`."""
        self._settle()
        self.frozen = True

    def thaw(self) -> None:
        """Go on from where it stood still."""
        if self.frozen:
            self._since = self._time()
            self.frozen = False

    def jump_wall(self, delta_ns: Nanos) -> None:
        """Somebody sets the time of day, forward or back; timers do not notice."""
        self.offset_ns += delta_ns

    def leap(self, delta_ns: Nanos) -> None:
        """The machine was suspended for so long: both clocks jump forward. Raises ValueError for going back."""
        if delta_ns < 0:
            raise ValueError("a monotonic clock never goes back")
        self._settle()
        self._base += delta_ns

    def discipline(self, offset_max_ns: Nanos) -> None:
        """The time of day is set right, up to `offset_max_ns`, and kept so; the monotonic clock drifts on."""
        self.thaw()
        self._is_disciplined = True
        self.offset_ns = max(-offset_max_ns, min(offset_max_ns, self.offset_ns))

    def _settle(self) -> None:
        self._base, self._since = self.now(), self._time()
