"""Sends far more than anybody should: many messages at once, again and again."""

from __future__ import annotations

from typing import Final

from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.simulator.adversaries.powers import Powers
from outvote.types import MILLISECOND, Nanos, ReplicaId

FRAMES: Final = 40  # at once
BURSTS: Final = 12  # of a run
PAUSE_NS: Nanos = 300 * MILLISECOND


class Flooder(Behaviour):
    """With what it said last: true statements, so that every one must be looked at."""

    def __init__(self, powers: Powers) -> None:
        super().__init__(powers)
        self._bursts = 0
        self._last: dict[ReplicaId, bytes] = {}  # said before its moment came, too

    def begin(self) -> None:
        self.powers.later(PAUSE_NS, self._burst)

    def sent(self, receiver: ReplicaId, body: bytes) -> None:
        self._last[receiver] = body

    def _burst(self) -> None:
        self._bursts += 1
        for receiver, body in self._last.items():
            for _ in range(FRAMES):
                self.powers.send(receiver, body)
        if self._bursts < BURSTS:
            self.powers.later(PAUSE_NS, self._burst)
