"""Tells those that fell behind of decisions that were not made."""

from __future__ import annotations

import msgspec

from outvote.core.contract import Message
from outvote.core.occasion import Occasion
from outvote.protocols.pbft.messages import Batch, Decided, FetchedBatch


def false_decisions(message: Message, occasion: Occasion) -> list[Message] | None:
    if not isinstance(message, Decided | FetchedBatch):
        return None
    return [msgspec.structs.replace(message, batch=Batch(message.batch.time + 1, message.batch.requests))]
