"""Says in its own name what only another may say: proposals above all, whoever leads."""

from __future__ import annotations

from outvote.core.contract import ALL, Message
from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.types import ReplicaId, Seal


class Usurper(Behaviour):
    def heard(self, sender: ReplicaId, message: Message, seal: Seal) -> None:
        if message.sealed and self.rng.random() < 0.3:
            other = self.variant(message, 2)
            if other is not None:
                self.powers.say(ALL, other)
