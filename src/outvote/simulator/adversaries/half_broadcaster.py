"""Sends what is meant for all to a few only, and goes on as if nothing were the matter."""

from __future__ import annotations

from outvote.core.contract import Message
from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.simulator.adversaries.powers import Powers
from outvote.types import ReplicaId


class HalfBroadcaster(Behaviour):
    """The favoured half is drawn once; at least one replica hears nothing."""

    def __init__(self, powers: Powers) -> None:
        super().__init__(powers)
        order = list(range(self.n))
        self.rng.shuffle(order)
        self._favoured = order[: self.n // 2]

    def speak(self, receiver: ReplicaId, message: Message) -> list[Message]:
        return [message] if receiver in self._favoured else []
