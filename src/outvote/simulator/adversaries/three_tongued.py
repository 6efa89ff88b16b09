"""Has three versions of everything worth lying about, and tells each replica one of them."""

from __future__ import annotations

from outvote.core.contract import Message
from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.simulator.adversaries.powers import Powers
from outvote.types import ReplicaId


class ThreeTongued(Behaviour):
    """Which replica hears which is drawn once; the first version is the true one."""

    def __init__(self, powers: Powers) -> None:
        super().__init__(powers)
        self._version = [self.rng.randrange(3) for _ in range(self.n)]

    def speak(self, receiver: ReplicaId, message: Message) -> list[Message]:
        version = self._version[receiver]
        other = self.variant(message, version) if version else None
        return [message] if other is None else [other]
