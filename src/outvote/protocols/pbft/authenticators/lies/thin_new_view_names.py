"""Announces a view with one VIEW-CHANGE fewer."""

from __future__ import annotations

import msgspec

from outvote.core.contract import Message
from outvote.core.occasion import Occasion
from outvote.protocols.pbft.authenticators.messages import NewView


def thin_new_view_names(message: Message, occasion: Occasion) -> list[Message] | None:
    if not isinstance(message, NewView):
        return None
    return [msgspec.structs.replace(message, view_changes=message.view_changes[:-1])]
