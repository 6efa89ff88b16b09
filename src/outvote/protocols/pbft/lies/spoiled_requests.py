"""Proposes a true request under a seal that does not fit: backups cannot know whose fault it is."""

from __future__ import annotations

import msgspec

from outvote.core.contract import Message, digest_of
from outvote.core.occasion import Occasion
from outvote.protocols.pbft.messages import Batch, PrePrepare
from outvote.types import SEAL_BYTES


def spoiled_requests(message: Message, occasion: Occasion) -> list[Message] | None:
    if not isinstance(message, PrePrepare) or not message.batch.requests:
        return None
    first, *rest = message.batch.requests
    batch = Batch(message.batch.time, (msgspec.structs.replace(first, seal=bytes(SEAL_BYTES)), *rest))
    return [PrePrepare(message.view, message.position, digest_of(batch), batch)]
