"""Shows what it could prove long ago, and withholds what it learned since."""

from __future__ import annotations

import msgspec

from outvote.core.contract import Message
from outvote.core.occasion import Occasion
from outvote.protocols.pbft.messages import ViewChange


def stale_certificates(message: Message, occasion: Occasion) -> list[Message] | None:
    """What an older VIEW-CHANGE of its own showed, under the new view; else all but its newest certificate."""
    if not isinstance(message, ViewChange):
        return None
    for sender, old, _ in occasion.heard:
        if sender == occasion.me and isinstance(old, ViewChange) and old.view < message.view:
            shown = msgspec.structs.replace(old, view=message.view)
            if shown != message:
                return [shown]
    return [msgspec.structs.replace(message, prepared=message.prepared[:-1])] if message.prepared else None
