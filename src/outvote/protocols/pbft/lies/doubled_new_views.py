"""Announces a view with one VIEW-CHANGE twice, in the place of another."""

from __future__ import annotations

import msgspec

from outvote.core.contract import Message
from outvote.core.occasion import Occasion
from outvote.protocols.pbft.messages import NewView


def doubled_new_views(message: Message, occasion: Occasion) -> list[Message] | None:
    if not isinstance(message, NewView) or not message.view_changes:
        return None
    first = message.view_changes[0]
    return [msgspec.structs.replace(message, view_changes=(first, *message.view_changes[:-1]))]
