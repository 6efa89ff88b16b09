"""Vouches for states that nobody has."""

from __future__ import annotations

from hashlib import sha256

import msgspec

from outvote.core.checkpoints import Checkpoint
from outvote.core.contract import Message
from outvote.core.occasion import Occasion


def wrong_checkpoints(message: Message, occasion: Occasion) -> list[Message] | None:
    """The same wrong one to everybody: liars that agree."""
    if not isinstance(message, Checkpoint):
        return None
    return [msgspec.structs.replace(message, digest=sha256(b"wrong %d" % message.position).digest())]
