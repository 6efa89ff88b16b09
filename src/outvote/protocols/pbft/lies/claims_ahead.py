"""Says that it is far ahead: others should fetch from it what does not exist."""

from __future__ import annotations

import msgspec

from outvote.core.contract import Message
from outvote.core.occasion import Occasion
from outvote.protocols.pbft.messages import Status


def claims_ahead(message: Message, occasion: Occasion) -> list[Message] | None:
    if not isinstance(message, Status):
        return None
    far = (1000, 1 << 31, 1 << 62)[occasion.choice % 3]
    view = message.view + (5 if occasion.choice & 8 else 0)
    return [msgspec.structs.replace(message, view=view, stable=far, delivered=far, phases=b"\xff")]
