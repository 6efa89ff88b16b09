"""Sends what it once sent again, to anybody, at any time: old views, old positions, old checkpoints."""

from __future__ import annotations

from random import Random

from outvote.protocols.catalogue import Protocol
from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.types import ReplicaId

KEPT_MAX = 2000


class Replayer(Behaviour):
    def __init__(self, rng: Random, protocol: Protocol, n: int) -> None:
        super().__init__(rng, protocol, n)
        self._kept: list[bytes] = []

    def sent(self, receiver: ReplicaId, body: bytes) -> None:
        if len(self._kept) < KEPT_MAX:
            self._kept.append(body)
        else:
            self._kept[self.rng.randrange(KEPT_MAX)] = body

    def again(self) -> list[tuple[ReplicaId, bytes]]:
        if not self._kept or self.rng.random() < 0.5:
            return []
        return [(self.rng.randrange(self.n), self.rng.choice(self._kept)) for _ in range(2)]
