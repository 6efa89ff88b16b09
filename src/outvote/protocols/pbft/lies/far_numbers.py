"""Speaks of views and positions as far away as the wire can carry."""

from __future__ import annotations

from typing import Final

import msgspec

from outvote.core.checkpoints import Checkpoint
from outvote.core.contract import Message
from outvote.core.occasion import Occasion
from outvote.protocols.pbft.messages import Commit, Prepare, PrePrepare, ViewChange

FAR: Final = (1 << 31, 1 << 32, (1 << 62) - 1, 1 << 62, (1 << 63) - 1, (1 << 64) - 1, -1, -(1 << 63))


def far_numbers(message: Message, occasion: Occasion) -> list[Message] | None:
    """Beside the true message, so that the liar stays in the game."""
    far = FAR[occasion.choice % len(FAR)]
    if isinstance(message, PrePrepare | Prepare | Commit):
        field = "position" if occasion.choice & 64 else "view"
        return [message, msgspec.structs.replace(message, **{field: far})]
    if isinstance(message, Checkpoint):
        return [message, msgspec.structs.replace(message, position=far)]
    if isinstance(message, ViewChange):
        return [message, msgspec.structs.replace(message, view=far)]
    return None
