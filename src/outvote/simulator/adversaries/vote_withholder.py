"""Takes part in everything, but votes for nothing: it makes quorums as small as they can be."""

from __future__ import annotations

from outvote.core.contract import Message
from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.types import ReplicaId


class VoteWithholder(Behaviour):
    def speak(self, receiver: ReplicaId, message: Message) -> list[Message]:
        votes = type(message).__name__ in self.powers.protocol.ordering and message.statement() is message
        return [] if votes else [message]
