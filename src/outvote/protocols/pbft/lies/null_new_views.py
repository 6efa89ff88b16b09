"""Announces a view in which what was prepared is replaced by nothing."""

from __future__ import annotations

import msgspec

from outvote.core.contract import Message
from outvote.core.occasion import Occasion
from outvote.protocols.pbft.messages import NULL_DIGEST, NewView


def null_new_views(message: Message, occasion: Occasion) -> list[Message] | None:
    if not isinstance(message, NewView):
        return None
    if all(digest == NULL_DIGEST for _, digest in message.proposals):
        return None
    return [msgspec.structs.replace(message, proposals=tuple((one, NULL_DIGEST) for one, _ in message.proposals))]
