"""Tells half of the replicas one thing and the other half another: proposals, votes, view changes."""

from __future__ import annotations

from outvote.core.contract import Message
from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.simulator.adversaries.powers import Powers
from outvote.types import ReplicaId


class Equivocator(Behaviour):
    """The halves are drawn anew every 16 messages, so that every split comes up; a few hear both versions."""

    def __init__(self, powers: Powers) -> None:
        super().__init__(powers)
        self._spoken = 0
        self._fooled = self._draw()

    def _draw(self) -> list[bool]:
        return [self.rng.random() < 0.5 for _ in range(self.n)]

    def speak(self, receiver: ReplicaId, message: Message) -> list[Message]:
        self._spoken += 1
        if self._spoken % (16 * self.n) == 0:
            self._fooled = self._draw()
        other = self.variant(message, 1)
        if other is None:
            return [message]
        if self.rng.random() < 0.05:
            return [message, other]
        if not self._fooled[receiver]:
            return [message]
        # Whoever is told another proposal gets the votes for it as well: half a lie convinces nobody.
        carries_body = other.statement() is not other
        return [other, *self.agreement(other)] if carries_body else [other]
