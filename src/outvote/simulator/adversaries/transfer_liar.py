"""Hands over states in which a byte is wrong, and manifests that promise other parts or too many of them."""

from __future__ import annotations

import msgspec

from outvote.core.contract import Message
from outvote.machines.state_transfer import Manifest, Part
from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.types import ReplicaId


class TransferLiar(Behaviour):
    def speak(self, receiver: ReplicaId, message: Message) -> list[Message]:
        if isinstance(message, Part) and message.data:
            place = self.rng.randrange(len(message.data))
            data = bytearray(message.data)
            data[place] ^= 1
            return [msgspec.structs.replace(message, data=bytes(data))]
        if isinstance(message, Manifest) and self.rng.random() < 0.5:
            # Half of the time the manifest is good, so that its parts are asked for.
            if self.rng.random() < 0.5:
                return [Manifest(message.position, 0, ())]
            return [msgspec.structs.replace(message, parts=(*message.parts, bytes(32)))]
        return [message]
