"""Promises states and never hands them over."""

from __future__ import annotations

import msgspec

from outvote.core.contract import Message
from outvote.machines.state_transfer import Nodes
from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.types import ReplicaId


class PartWithholder(Behaviour):
    """Its inner nodes are good, so what is below them is asked for; no leaf ever comes."""

    def speak(self, receiver: ReplicaId, message: Message) -> list[Message]:
        if not isinstance(message, Nodes):
            return [message]
        return [msgspec.structs.replace(message, found=tuple([one for one in message.found if not one.records]))]
