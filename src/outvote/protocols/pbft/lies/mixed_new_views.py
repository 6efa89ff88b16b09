"""Announces a view with a VIEW-CHANGE that asked for another view."""

from __future__ import annotations

import msgspec

from outvote.core.contract import Message
from outvote.core.occasion import Occasion
from outvote.protocols.pbft.messages import NewView, SealedViewChange, ViewChange


def mixed_new_views(message: Message, occasion: Occasion) -> list[Message] | None:
    """An old one of one of the quoted senders, as it was heard; its own, made anew, if it heard none."""
    if not isinstance(message, NewView) or not message.view_changes:
        return None
    quoted = {one.sender: one for one in message.view_changes}
    for sender, old, seal in occasion.heard:
        if isinstance(old, ViewChange) and sender in quoted and old.view != message.view and seal:
            quoted[sender] = SealedViewChange(sender, old, seal)
            break
    else:
        other = msgspec.structs.replace(message.view_changes[0].message, view=message.view + 1)
        del quoted[message.view_changes[0].sender]
        quoted[occasion.me] = SealedViewChange(occasion.me, other, occasion.seal(other))
    return [msgspec.structs.replace(message, view_changes=tuple(quoted[sender] for sender in sorted(quoted)))]
