"""Gives some receivers seals that do not fit, others good ones: what passes here must not be passed on as proof."""

from __future__ import annotations

from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.types import ReplicaId, Seal


class BadSeals(Behaviour):
    def seal(self, receiver: ReplicaId, seal: Seal) -> Seal:
        if seal and self.rng.random() < 0.3:
            return bytes(len(seal))
        return seal
