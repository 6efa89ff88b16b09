"""Sends old frames as if they were of another epoch, or of another cluster."""

from __future__ import annotations

from typing import Final

from outvote.core.contract import Message
from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.types import ReplicaId
from outvote.wire.codec import Codec

EPOCHS: Final = (1, 7, 1 << 31)
HOW_OFTEN: Final = 0.2


class TimeTraveller(Behaviour):
    """The seal of another cluster is a good one over other bytes: here, one byte of a good seal is another."""

    def speak(self, receiver: ReplicaId, message: Message) -> list[Message]:
        if self.rng.random() < HOW_OFTEN:
            seal = self.powers.seal(message)
            if seal and self.rng.random() < 0.5:
                body = self.powers.codec.encode(message, bytes([seal[0] ^ 1]) + seal[1:])
            else:
                body = Codec((type(message),), self.rng.choice(EPOCHS)).encode(message, seal)
            self.powers.send(receiver, body)
        return [message]
