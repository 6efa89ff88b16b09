"""Shows nothing of what it prepared when views change."""

from __future__ import annotations

import msgspec

from outvote.core.contract import Message
from outvote.core.occasion import Occasion
from outvote.protocols.pbft.messages import ViewChange


def forgotten_certificates(message: Message, occasion: Occasion) -> list[Message] | None:
    if not isinstance(message, ViewChange) or not message.prepared:
        return None
    return [msgspec.structs.replace(message, prepared=())]
