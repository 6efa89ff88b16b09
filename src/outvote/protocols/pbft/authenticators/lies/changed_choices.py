"""Announces a view that begins otherwise than its VIEW-CHANGEs call for."""

from __future__ import annotations

from hashlib import sha256

import msgspec

from outvote.core.contract import Message
from outvote.core.occasion import Occasion
from outvote.protocols.pbft.authenticators.messages import NewView
from outvote.protocols.pbft.messages import NULL_DIGEST


def changed_choices(message: Message, occasion: Occasion) -> list[Message] | None:
    """With other digests, with nulls, with the last position cut off, or behind another checkpoint."""
    if not isinstance(message, NewView):
        return None
    other = sha256(b"of its own choice").digest()
    proposals = message.proposals or ((message.start + 1, other),)
    kind = occasion.choice % 4
    if kind == 0:
        return [msgspec.structs.replace(message, proposals=(*proposals[:-1], (proposals[-1][0], other)))]
    if kind == 1:
        return [msgspec.structs.replace(message, proposals=tuple((at, NULL_DIGEST) for at, _ in proposals))]
    if kind == 2 and message.proposals:
        return [msgspec.structs.replace(message, proposals=proposals[:-1])]
    return [msgspec.structs.replace(message, start=message.start + 4, start_digest=other, proposals=())]
