"""Forgets what it promised: it comes back from every restart with an empty disk and says other things."""

from __future__ import annotations

from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.types import MILLISECOND, Nanos

PAUSE_NS: Nanos = 700 * MILLISECOND
TIMES = 4


class Amnesiac(Behaviour):
    """Restarts of its own accord, so that runs without crashes see it too."""

    def begin(self) -> None:
        if self.powers.forgotten < TIMES:
            self.powers.later(PAUSE_NS, self.powers.forget)
