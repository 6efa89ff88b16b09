"""Votes for nothing and proposes nothing, but answers whoever asks where it stands."""

from __future__ import annotations

from outvote.core.contract import Message
from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.types import ReplicaId


class SyncOnly(Behaviour):
    def speak(self, receiver: ReplicaId, message: Message) -> list[Message]:
        return [] if type(message).__name__ in self.powers.protocol.ordering else [message]
