"""Says everything several times over, as if through several connections."""

from __future__ import annotations

from outvote.core.contract import Message
from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.types import ReplicaId

TIMES = 3


class Stammerer(Behaviour):
    def speak(self, receiver: ReplicaId, message: Message) -> list[Message]:
        return [message] * TIMES
