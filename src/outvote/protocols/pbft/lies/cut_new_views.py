"""Announces a view without the last of what its VIEW-CHANGEs call for."""

from __future__ import annotations

import msgspec

from outvote.core.contract import Message
from outvote.core.occasion import Occasion
from outvote.protocols.pbft.messages import NewView


def cut_new_views(message: Message, occasion: Occasion) -> list[Message] | None:
    if not isinstance(message, NewView) or not message.proposals:
        return None
    return [msgspec.structs.replace(message, proposals=message.proposals[:-1])]
