"""One directed link: its own rates, its own chance, what is in flight on it.

Kept: a frame arrives whole and as it was sent, or not at all: TLS lets nothing else through. And a link draws the same
four numbers for every frame, whatever is switched on: so a run without one fault differs only where that fault was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from math import log
from random import Random

from outvote.types import SECOND, Nanos

Action = Callable[[], None]

REMEMBERED_FRAMES = 20  # of which one may be replayed
HEAVY_DELAY_MAX: Nanos = 5 * SECOND  # one in ten thousand would take longer
BACKLOG_MAX: Nanos = 2 * SECOND  # of a link with a bandwidth: what would wait longer is dropped, as full queues do


class Rates:
    """What a network does to frames; times in nanoseconds, rates as probabilities per frame."""

    __slots__ = (
        "bytes_per_second", "delay_mean", "delay_min", "duplication", "heavy_tail", "in_order", "loss", "replay",
    )

    def __init__(
        self, *, delay_min: Nanos = 0, delay_mean: Nanos = 0, heavy_tail: bool = False, in_order: bool = False,
        loss: float = 0.0, duplication: float = 0.0, replay: float = 0.0, bytes_per_second: int = 0,
    ) -> None:
        self.delay_min = delay_min
        self.delay_mean = delay_mean  # on top of delay_min
        self.heavy_tail = heavy_tail  # Lomax with exponent 1.5 instead of exponential
        self.in_order = in_order  # no frame overtakes another
        self.loss = loss
        self.duplication = duplication
        self.replay = replay  # an older frame of the link comes once more
        self.bytes_per_second = bytes_per_second  # 0: no limit


class Link:
    """From one party to another. `after(delay, action)` schedules in the world's time, `now()` tells it."""

    __slots__ = (
        "_after", "_broken_at", "_clogs", "_cut", "_draw", "_free_at", "_held", "_in_flight", "_last_arrival", "_now",
        "_remembered", "_spared_until", "counts", "rates",
    )

    def __init__(
        self, rates: Rates, rng: Random, now: Callable[[], Nanos], after: Callable[[Nanos, Action], None],
        counts: dict[str, int],
    ) -> None:
        self.rates = rates
        self.counts = counts
        self._draw = rng.random
        self._now = now
        self._after = after
        self._cut = 0  # partitions that cut it at the moment
        self._clogs = 0
        self._held: list[Action] = []  # arrived while it was clogged
        self._in_flight = 0
        self._broken_at: Nanos = -1  # frames sent until then are lost,
        self._spared_until: Nanos = 0  # unless they arrive by then
        self._last_arrival: Nanos = 0
        self._free_at: Nanos = 0  # when the last byte has left
        self._remembered: deque[Action] = deque(maxlen=REMEMBERED_FRAMES)

    @property
    def is_cut(self) -> bool:
        return self._cut > 0

    def carry(self, deliver: Action, size: int) -> bool:
        """Schedule `deliver` never, once or twice; whether it will come at all, if nothing happens on its way."""
        draw, rates = self._draw, self.rates
        of_loss, of_delay, of_duplicate, of_replay = draw(), draw(), draw(), draw()
        if self._cut or of_loss < rates.loss:
            self._count("messages lost")
            return False
        wait = 0
        if rates.bytes_per_second:
            now = self._now()
            wait = max(0, self._free_at - now)
            if wait > BACKLOG_MAX:
                self._count("bandwidth: frames dropped")
                return False
            wait += size * SECOND // rates.bytes_per_second
            self._free_at = now + wait
            if wait > 10_000_000:
                self._count("bandwidth: frames waited")
        self._send(wait + self._delay(of_delay), deliver)
        # What is left of a number that fell below a rate is again even between 0 and 1.
        if of_duplicate < rates.duplication:
            self._count("messages doubled")
            self._send(wait + self._delay(of_duplicate / rates.duplication), deliver)
        if rates.replay:
            if of_replay < rates.replay and self._remembered:
                rest = of_replay / rates.replay
                self._count("frames replayed")
                self._send(self._delay(rest), self._remembered[int(rest * len(self._remembered))])
            self._remembered.append(deliver)
        return True

    def _delay(self, even: float) -> Nanos:
        rates = self.rates
        if not rates.delay_mean:
            return rates.delay_min
        if rates.heavy_tail:
            lomax = (1.0 - even) ** (-1 / 1.5) - 1.0
            return rates.delay_min + min(HEAVY_DELAY_MAX, int(lomax / 2 * rates.delay_mean))
        return rates.delay_min - int(log(1.0 - even) * rates.delay_mean)

    def _send(self, delay: Nanos, deliver: Action) -> None:
        now = self._now()
        arrival = now + delay
        if self.rates.in_order:
            arrival = self._last_arrival = max(arrival, self._last_arrival)
        self._in_flight += 1
        self._after(arrival - now, partial(self._arrive, now, deliver))

    def _arrive(self, sent: Nanos, deliver: Action) -> None:
        self._in_flight -= 1
        if sent <= self._broken_at and self._now() > self._spared_until:
            self._count("frames lost in resets")
        elif self._clogs:
            self._held.append(deliver)
        else:
            deliver()

    def cut(self) -> None:
        """What is sent from now on is lost, until `heal` was called as often."""
        self._cut += 1

    def heal(self) -> None:
        self._cut = max(0, self._cut - 1)

    def clog(self) -> None:
        """What arrives is held back, until `unclog` was called as often."""
        self._clogs += 1
        self._count("links clogged")

    def unclog(self) -> None:
        self._clogs = max(0, self._clogs - 1)
        if not self._clogs and self._held:
            held, self._held = self._held, []
            self._count("clogged frames let go", len(held))
            for deliver in held:
                self._after(0, deliver)

    def reset(self, spare_ns: Nanos) -> None:
        """The connection breaks: what is in flight is lost, but for what arrives within `spare_ns`. The frame that is
        cut then, and all behind it, never reach the receiver."""
        if self._in_flight or self._held:
            self._count("connections reset mid-frame" if spare_ns else "connections reset")
        self._count("frames lost in resets", len(self._held))
        self._held.clear()
        self._broken_at = self._now()
        self._spared_until = self._broken_at + spare_ns
        self._last_arrival = self._free_at = 0

    def heal_all(self) -> None:
        """Nothing holds anything back from now on, not even a large frame that a narrow link took a minute for: what is
        sent now goes over a new connection."""
        self._last_arrival = self._free_at = 0
        self._cut = 0
        self._clogs = min(self._clogs, 1)
        self.unclog()

    def _count(self, what: str, amount: int = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + amount
