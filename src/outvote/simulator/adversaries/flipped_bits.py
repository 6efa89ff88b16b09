"""Sends every tenth message with one bit flipped, behind its seal: broken memory in a network card."""

from __future__ import annotations

from outvote.core.contract import Message
from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.types import ReplicaId


class FlippedBits(Behaviour):
    """What leaves is refused as no message, as another form of one, or by its seal; or it is a vote for something else,
    which is one replica's vote."""

    def speak(self, receiver: ReplicaId, message: Message) -> list[Message]:
        if self.rng.random() >= 0.1:
            return [message]
        body = bytearray(self.powers.codec.encode(message, self.powers.seal(message)))
        place = self.rng.randrange(8 * len(body))
        body[place // 8] ^= 1 << place % 8
        self.powers.send(receiver, bytes(body))
        return []
