"""Orders nothing of one client: censorship by a primary."""

from __future__ import annotations

from outvote.core.contract import Message, digest_of
from outvote.core.occasion import Occasion
from outvote.protocols.pbft.messages import Batch, PrePrepare


def starved_client(message: Message, occasion: Occasion) -> list[Message] | None:
    """The client with the lowest number in the batch; a batch that holds no other is kept back."""
    if not isinstance(message, PrePrepare) or not message.batch.requests:
        return None
    starved = min(request.client for request in message.batch.requests)
    kept = tuple(request for request in message.batch.requests if request.client != starved)
    if not kept:
        return []
    batch = Batch(message.batch.time, kept)
    return [PrePrepare(message.view, message.position, digest_of(batch), batch)]
