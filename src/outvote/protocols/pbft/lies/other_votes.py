"""Votes for another digest than it was shown, a different one to each receiver."""

from __future__ import annotations

from hashlib import sha256

import msgspec

from outvote.core.contract import Message
from outvote.core.occasion import Occasion
from outvote.protocols.pbft.messages import Commit, Prepare


def other_votes(message: Message, occasion: Occasion) -> list[Message] | None:
    if not isinstance(message, Prepare | Commit):
        return None
    return [msgspec.structs.replace(message, digest=sha256(message.digest + bytes([occasion.receiver])).digest())]
