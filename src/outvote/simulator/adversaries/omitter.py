"""Leaves out some kinds of messages towards some receivers: so that one replica prepares and another does not."""

from __future__ import annotations

from outvote.core.contract import Message
from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.simulator.adversaries.powers import Powers
from outvote.types import ReplicaId

REDRAWN_EVERY = 32  # messages; a few positions at n = 4


class Omitter(Behaviour):
    """Which kinds a receiver does not get is drawn anew now and then."""

    def __init__(self, powers: Powers) -> None:
        super().__init__(powers)
        self._spoken = 0
        self._omitted: dict[tuple[type[Message], ReplicaId], bool] = {}

    def speak(self, receiver: ReplicaId, message: Message) -> list[Message]:
        self._spoken += 1
        if self._spoken % (REDRAWN_EVERY * self.n) == 0:
            self._omitted.clear()
        place = type(message), receiver
        if place not in self._omitted:
            self._omitted[place] = self.rng.random() < 0.4
        return [] if self._omitted[place] else [message]
