"""Writes every fourth message's numbers with their bytes in the wrong order: a port to another kind of processor."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from outvote.core.contract import Message
from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.types import ReplicaId

WIDTH_BYTES: Final = 4  # of a number in its memory; 1 becomes 16 777 216


class ReversedBytes(Behaviour):
    """Views and positions of far away, under a good seal."""

    def speak(self, receiver: ReplicaId, message: Message) -> list[Message]:
        if self.rng.random() >= 0.25:
            return [message]
        changed = {
            name: _reversed(held) for name in message.__struct_fields__
            if isinstance(held := getattr(message, name), int) and not isinstance(held, bool)
        }
        return [msgspec.structs.replace(message, **changed)] if changed else [message]


def _reversed(number: Any) -> int:
    low = int(number) % (1 << 8 * WIDTH_BYTES)
    return int.from_bytes(low.to_bytes(WIDTH_BYTES, "big"), "little")
