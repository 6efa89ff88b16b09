"""Says in a view change that its log begins later than it does, behind a checkpoint that is not stable, or none."""

from __future__ import annotations

from outvote.core.contract import Message
from outvote.core.occasion import Occasion
from outvote.protocols.pbft.authenticators.messages import ViewChange


def raised_logs(message: Message, occasion: Occasion) -> list[Message] | None:
    """Then it covers fewer positions, and a quorum that lacks it must decide them."""
    if not isinstance(message, ViewChange):
        return None
    if len(message.checkpoints) > 1:
        start = message.checkpoints[-1]
    elif message.prepared:
        start = message.prepared[0].position, message.prepared[0].digest
    else:
        return None
    return [
        ViewChange(
            message.view, start[0], (start,),
            tuple(one for one in message.prepared if one.position > start[0]),
            tuple(one for one in message.pre_prepared if one.position > start[0]),
        )
    ]
