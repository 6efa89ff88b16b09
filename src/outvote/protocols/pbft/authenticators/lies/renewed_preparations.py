"""Claims that what it prepared long ago, or something else in its place, was prepared in the last view."""

from __future__ import annotations

from hashlib import sha256

import msgspec

from outvote.core.contract import Message
from outvote.core.occasion import Occasion
from outvote.protocols.pbft.authenticators.messages import PreparedEntry, ViewChange


def renewed_preparations(message: Message, occasion: Occasion) -> list[Message] | None:
    if not isinstance(message, ViewChange) or not message.prepared:
        return None
    *kept, last = message.prepared
    other = sha256(last.digest).digest() if occasion.choice % 2 else last.digest
    return [msgspec.structs.replace(message, prepared=(*kept, PreparedEntry(last.position, other, message.view - 1)))]
