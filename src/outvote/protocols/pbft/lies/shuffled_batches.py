"""Proposes the same requests in another order to each receiver."""

from __future__ import annotations

from outvote.core.contract import Message, digest_of
from outvote.core.occasion import Occasion
from outvote.protocols.pbft.messages import Batch, PrePrepare


def shuffled_batches(message: Message, occasion: Occasion) -> list[Message] | None:
    """Rotated by the receiver's number; a batch of one cannot be shuffled and gets another time."""
    if not isinstance(message, PrePrepare) or not message.batch.requests:
        return None
    requests = message.batch.requests
    start = occasion.receiver % len(requests)
    batch = Batch(message.batch.time + (occasion.receiver % 2), requests[start:] + requests[:start])
    return [PrePrepare(message.view, message.position, digest_of(batch), batch)]
