"""Announces a view with another digest than its VIEW-CHANGEs call for."""

from __future__ import annotations

from hashlib import sha256

import msgspec

from outvote.core.contract import Message
from outvote.core.occasion import Occasion
from outvote.protocols.pbft.messages import NewView


def changed_new_views(message: Message, occasion: Occasion) -> list[Message] | None:
    if not isinstance(message, NewView):
        return None
    lie = sha256(b"of its own choice").digest()
    kept = message.proposals[:-1]
    last = message.proposals[-1][0] if message.proposals else 1
    return [msgspec.structs.replace(message, proposals=(*kept, (last, lie)))]
