"""Sends what is meant for all to a few only, and goes on as if nothing were the matter."""

from __future__ import annotations

from random import Random

from outvote.core.contract import Message
from outvote.protocols.catalogue import Protocol
from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.types import ReplicaId


class HalfBroadcaster(Behaviour):
    """The favoured half is drawn once; at least one replica hears nothing."""

    def __init__(self, rng: Random, protocol: Protocol, n: int) -> None:
        super().__init__(rng, protocol, n)
        order = list(range(n))
        rng.shuffle(order)
        self._favoured = order[: n // 2]

    def speak(self, receiver: ReplicaId, message: Message) -> list[Message]:
        return [message] if receiver in self._favoured else []
