"""Acknowledges VIEW-CHANGEs that nobody sent, in place of true ones."""

from __future__ import annotations

from hashlib import sha256

import msgspec

from outvote.core.contract import Message
from outvote.core.occasion import Occasion
from outvote.protocols.pbft.authenticators.messages import ViewChangeAck


def false_acks(message: Message, occasion: Occasion) -> list[Message] | None:
    if not isinstance(message, ViewChangeAck):
        return None
    other = msgspec.structs.replace(message, digest=sha256(message.digest).digest())
    return [message, other] if occasion.choice % 2 else [other]
