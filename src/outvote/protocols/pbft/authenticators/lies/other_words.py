"""Another well-formed statement in the same place, for the form without signatures."""

from __future__ import annotations

from hashlib import sha256

import msgspec

from outvote.core.contract import Message
from outvote.protocols.pbft.authenticators.messages import NewView, StableWord, ViewChange, ViewChangeAck
from outvote.protocols.pbft.lies import other_words
from outvote.protocols.pbft.messages import NULL_DIGEST


def variant(message: Message, choice: int) -> Message | None:
    """As ../../lies/other_words.py has it. Different `choice`s, counted from 1, give different statements."""
    if isinstance(message, ViewChange):
        return msgspec.structs.replace(message, prepared=(), pre_prepared=())
    if isinstance(message, NewView):
        proposals = () if message.proposals else ((message.start + 1, NULL_DIGEST),)
        return msgspec.structs.replace(message, proposals=proposals)
    if isinstance(message, ViewChangeAck | StableWord):
        return msgspec.structs.replace(message, digest=sha256(message.digest + choice.to_bytes(4, "big")).digest())
    return other_words.variant(message, choice)
