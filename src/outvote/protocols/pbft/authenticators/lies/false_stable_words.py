"""Tells those that lag of checkpoints that nobody certified."""

from __future__ import annotations

from hashlib import sha256

from outvote.core.contract import Message
from outvote.core.occasion import Occasion
from outvote.protocols.pbft.authenticators.messages import StableWord


def false_stable_words(message: Message, occasion: Occasion) -> list[Message] | None:
    if not isinstance(message, StableWord):
        return None
    position = message.position + (0, 4, 128, 1 << 40)[occasion.choice % 4]
    return [StableWord(position, sha256(b"of no state").digest())]
