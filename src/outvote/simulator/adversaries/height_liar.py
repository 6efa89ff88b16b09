"""Offers a state of one position and then one of a lower position, and nodes without number."""

from __future__ import annotations

import msgspec

from outvote.core.contract import Message
from outvote.machines.state_transfer import DIGESTS, Found, Nodes
from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.types import ReplicaId


class HeightLiar(Behaviour):
    """What made others wait for a height that nobody has (CVE-2025-24371), and what made them ask for ever."""

    def speak(self, receiver: ReplicaId, message: Message) -> list[Message]:
        if not isinstance(message, Nodes):
            return [message]
        higher = msgspec.structs.replace(message, position=message.position + 1000)
        lower = msgspec.structs.replace(message, position=max(1, message.position - 1))
        endless = tuple([Found("0" * depth, DIGESTS, 0xFFFF, bytes(33 * 16), 0, (), b"") for depth in range(1000)])
        countless = msgspec.structs.replace(message, found=endless)
        return [higher, lower, countless] if self.rng.random() < 0.5 else [countless, message]
