"""Proposes a request that its client never sealed, beside those that it did."""

from __future__ import annotations

import msgspec

from outvote.core.contract import Message, digest_of
from outvote.core.occasion import Occasion
from outvote.protocols.pbft.messages import Batch, PrePrepare


def invented_requests(message: Message, occasion: Occasion) -> list[Message] | None:
    """The invented one differs from a true one in its number only, under the true one's seal."""
    if not isinstance(message, PrePrepare) or not message.batch.requests:
        return None
    true = message.batch.requests[0]
    batch = Batch(message.batch.time, (*message.batch.requests, msgspec.structs.replace(true, number=true.number + 1)))
    return [PrePrepare(message.view, message.position, digest_of(batch), batch)]
