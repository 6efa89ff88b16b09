"""Leaves positions out: proposes and votes further on than it should."""

from __future__ import annotations

import msgspec

from outvote.core.contract import Message
from outvote.core.occasion import Occasion
from outvote.protocols.pbft.messages import Commit, Prepare, PrePrepare


def gaps(message: Message, occasion: Occasion) -> list[Message] | None:
    if not isinstance(message, PrePrepare | Prepare | Commit):
        return None
    return [msgspec.structs.replace(message, position=message.position + 1 + message.position % 3)]
