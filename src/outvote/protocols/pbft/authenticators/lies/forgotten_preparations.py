"""Leaves what it prepared out of its P when views change."""

from __future__ import annotations

import msgspec

from outvote.core.contract import Message
from outvote.core.occasion import Occasion
from outvote.protocols.pbft.authenticators.messages import ViewChange


def forgotten_preparations(message: Message, occasion: Occasion) -> list[Message] | None:
    if not isinstance(message, ViewChange) or not message.prepared:
        return None
    return [msgspec.structs.replace(message, prepared=())]
