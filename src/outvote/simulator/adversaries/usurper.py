"""Says in its own name what only another may say: proposals above all, whoever leads."""

from __future__ import annotations

from outvote.core.contract import Message
from outvote.simulator.adversaries.behaviour import Behaviour


class Usurper(Behaviour):
    def heard(self, message: Message) -> list[Message]:
        if not message.sealed or self.rng.random() < 0.7:
            return []
        other = self.variant(message, 2)
        return [other] if other is not None else []
