"""Promises states and never hands them over."""

from __future__ import annotations

from outvote.core.contract import Message
from outvote.machines.state_transfer import Part
from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.types import ReplicaId


class PartWithholder(Behaviour):
    """Its manifests are good, so its parts are asked for."""

    def speak(self, receiver: ReplicaId, message: Message) -> list[Message]:
        return [] if isinstance(message, Part) else [message]
