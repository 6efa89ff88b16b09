"""Says in a view change that it has executed what nobody has, and that its log begins there."""

from __future__ import annotations

from hashlib import sha256

import msgspec

from outvote.core.contract import Message
from outvote.core.occasion import Occasion
from outvote.protocols.pbft.authenticators.messages import ViewChange


def invented_checkpoints(message: Message, occasion: Occasion) -> list[Message] | None:
    if not isinstance(message, ViewChange):
        return None
    last = message.checkpoints[-1][0]
    far = last + (4, 8, 128)[occasion.choice % 3]
    invented = far, sha256(b"of no state").digest()
    if occasion.choice & 4:
        return [msgspec.structs.replace(message, checkpoints=(*message.checkpoints, invented))]
    return [ViewChange(message.view, far, (invented,), (), ())]
