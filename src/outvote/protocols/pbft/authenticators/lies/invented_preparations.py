"""Claims to have prepared, and pre-prepared, what nobody proposed."""

from __future__ import annotations

from hashlib import sha256

import msgspec

from outvote.core.contract import Message
from outvote.core.occasion import Occasion
from outvote.protocols.pbft.authenticators.messages import PreparedEntry, PrePreparedEntry, ViewChange


def invented_preparations(message: Message, occasion: Occasion) -> list[Message] | None:
    """Behind its last true entry, in the newest view that can be claimed: rule A1 alone would believe it."""
    if not isinstance(message, ViewChange) or message.view < 1:
        return None
    last = message.prepared[-1].position if message.prepared else message.stable
    digest = sha256(b"never proposed %d" % (last + 1)).digest()
    claimed = PreparedEntry(last + 1, digest, message.view - 1)
    pre_prepared = tuple(one for one in message.pre_prepared if one.position <= last)
    backed = (*pre_prepared, PrePreparedEntry(last + 1, ((digest, message.view - 1),)))
    return [msgspec.structs.replace(message, prepared=(*message.prepared, claimed), pre_prepared=backed)]
