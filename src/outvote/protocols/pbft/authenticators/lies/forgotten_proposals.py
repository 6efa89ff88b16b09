"""Shows nothing of what was proposed to it: whatever others prepared lacks one more word for it."""

from __future__ import annotations

import msgspec

from outvote.core.contract import Message
from outvote.core.occasion import Occasion
from outvote.protocols.pbft.authenticators.messages import ViewChange


def forgotten_proposals(message: Message, occasion: Occasion) -> list[Message] | None:
    if not isinstance(message, ViewChange) or not message.pre_prepared:
        return None
    return [msgspec.structs.replace(message, pre_prepared=())]
