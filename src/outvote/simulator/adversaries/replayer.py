"""Sends what it once sent again, to anybody, at any time: old views, old positions, old checkpoints."""

from __future__ import annotations

from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.simulator.adversaries.powers import Powers
from outvote.types import ReplicaId

KEPT_MAX = 2000
AGAIN = 0.3  # how often something old goes out beside something new


class Replayer(Behaviour):
    def __init__(self, powers: Powers) -> None:
        super().__init__(powers)
        self._kept: list[bytes] = []

    def sent(self, receiver: ReplicaId, body: bytes) -> None:
        if len(self._kept) < KEPT_MAX:
            self._kept.append(body)
        else:
            self._kept[self.rng.randrange(KEPT_MAX)] = body
        if self.rng.random() < AGAIN:
            self.powers.send(self.rng.randrange(self.n), self.rng.choice(self._kept))
