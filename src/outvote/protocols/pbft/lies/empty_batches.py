"""Proposes nothing, again and again: positions pass and requests wait."""

from __future__ import annotations

from outvote.core.contract import Message, digest_of
from outvote.core.occasion import Occasion
from outvote.protocols.pbft.messages import Batch, PrePrepare


def empty_batches(message: Message, occasion: Occasion) -> list[Message] | None:
    if not isinstance(message, PrePrepare):
        return None
    batch = Batch(message.batch.time, ())
    return [PrePrepare(message.view, message.position, digest_of(batch), batch)]
