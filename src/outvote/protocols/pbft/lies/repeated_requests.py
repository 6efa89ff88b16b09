"""Proposes requests that were proposed before, beside new ones: each must be executed once."""

from __future__ import annotations

from outvote.core.contract import Message, digest_of
from outvote.core.occasion import Occasion
from outvote.protocols.pbft.messages import Batch, PrePrepare


def repeated_requests(message: Message, occasion: Occasion) -> list[Message] | None:
    if not isinstance(message, PrePrepare) or not message.batch.requests:
        return None
    old = next((one.batch.requests for _, one, _ in occasion.heard if isinstance(one, PrePrepare)), ())
    requests = (*message.batch.requests, *message.batch.requests[:1], *old[:2])
    batch = Batch(message.batch.time, requests)
    return [PrePrepare(message.view, message.position, digest_of(batch), batch)]
