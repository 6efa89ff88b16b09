"""Says everything, in any order: each message waits for a time of its own."""

from __future__ import annotations

from outvote.core.contract import Message
from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.types import MILLISECOND, Nanos, ReplicaId

WAIT_MAX_NS: Nanos = 60 * MILLISECOND


class Shuffler(Behaviour):
    def delay(self, receiver: ReplicaId, message: Message) -> Nanos:
        return self.rng.randrange(WAIT_MAX_NS)
