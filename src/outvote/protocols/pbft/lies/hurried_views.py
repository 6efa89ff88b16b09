"""Asks for the next views all the time, for no reason."""

from __future__ import annotations

from outvote.core.checkpoints import GENESIS
from outvote.core.contract import Message
from outvote.core.occasion import Occasion
from outvote.protocols.pbft.messages import Commit, Prepare, ViewChange


def hurried_views(message: Message, occasion: Occasion) -> list[Message] | None:
    if not isinstance(message, Prepare | Commit):
        return None
    return [message, ViewChange(message.view + 1 + occasion.choice % 3, GENESIS, ())]
