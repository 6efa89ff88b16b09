"""Votes for what it was shown and for something else, to everybody."""

from __future__ import annotations

from hashlib import sha256

import msgspec

from outvote.core.contract import Message
from outvote.core.occasion import Occasion
from outvote.protocols.pbft.messages import Commit, Prepare


def both_votes(message: Message, occasion: Occasion) -> list[Message] | None:
    if not isinstance(message, Prepare | Commit):
        return None
    other = msgspec.structs.replace(message, digest=sha256(message.digest).digest())
    return [other, message] if occasion.choice % 2 else [message, other]
