"""Hands over parts under another number than they have, cut short, or too long."""

from __future__ import annotations

import msgspec

from outvote.core.contract import Message
from outvote.machines.state_transfer import Part
from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.types import ReplicaId


class PartShifter(Behaviour):
    def speak(self, receiver: ReplicaId, message: Message) -> list[Message]:
        if not isinstance(message, Part):
            return [message]
        kind = self.rng.randrange(3)
        if kind == 0:
            return [msgspec.structs.replace(message, index=message.index + 1)]
        if kind == 1:
            return [msgspec.structs.replace(message, data=message.data[:-1])]
        return [msgspec.structs.replace(message, data=message.data + bytes(1000))]
