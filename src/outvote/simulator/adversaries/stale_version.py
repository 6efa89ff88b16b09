"""Writes messages as an older or a newer release would: a field less, a field more, or of the epoch before."""

from __future__ import annotations

import msgspec

from outvote.core.contract import Message
from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.types import ReplicaId


class StaleVersion(Behaviour):
    """A rolling upgrade that went wrong. On real hosts the handshake refuses it before: see transport/tls.py."""

    def speak(self, receiver: ReplicaId, message: Message) -> list[Message]:
        if self.rng.random() >= 0.3:
            return [message]
        epoch, seal, fields = msgspec.msgpack.decode(self.powers.codec.encode(message, self.powers.seal(message)))
        change = self.rng.randrange(3)
        if change == 0:
            fields = fields[:-1]
        elif change == 1:
            fields = [*fields, 0]
        else:
            epoch -= 1
        self.powers.send(receiver, msgspec.msgpack.encode((epoch, seal, fields)))
        return []
