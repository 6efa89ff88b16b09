"""Keeps to itself which VIEW-CHANGEs it heard."""

from __future__ import annotations

from outvote.core.contract import Message
from outvote.core.occasion import Occasion
from outvote.protocols.pbft.authenticators.messages import ViewChangeAck


def no_acks(message: Message, occasion: Occasion) -> list[Message] | None:
    return [] if isinstance(message, ViewChangeAck) else None
