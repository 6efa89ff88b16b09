"""Asks for the next views all the time, for no reason; and shows nothing, since nothing needs a certificate."""

from __future__ import annotations

from outvote.core.contract import Message
from outvote.core.occasion import Occasion
from outvote.protocols.pbft.authenticators.messages import ViewChange
from outvote.protocols.pbft.messages import Commit, Prepare


def hurried_changes(message: Message, occasion: Occasion) -> list[Message] | None:
    if not isinstance(message, Prepare | Commit):
        return None
    return [message, ViewChange(message.view + 1 + occasion.choice % 3, 0, ((0, b""),), (), ())]
