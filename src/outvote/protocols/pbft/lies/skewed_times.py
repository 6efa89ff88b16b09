"""Proposes times at the edge of what backups take, and beyond it."""

from __future__ import annotations

from outvote.core.contract import Message, digest_of
from outvote.core.occasion import Occasion
from outvote.protocols.pbft.messages import Batch, PrePrepare
from outvote.types import MILLISECOND, Nanos

SKEWS_NS: tuple[Nanos, ...] = tuple(skew * MILLISECOND for skew in (-9_900, 9_900, -5_000, 5_000, 11_000, -11_000))


def skewed_times(message: Message, occasion: Occasion) -> list[Message] | None:
    """The same skew for every receiver, so that the proposal may well be decided."""
    if not isinstance(message, PrePrepare) or not message.batch.requests:
        return None
    skew = SKEWS_NS[message.position % len(SKEWS_NS)]
    batch = Batch(max(0, message.batch.time + skew), message.batch.requests)
    return [PrePrepare(message.view, message.position, digest_of(batch), batch)]
