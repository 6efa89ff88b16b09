"""Says nothing to replicas or clients."""

from __future__ import annotations

from outvote.core.contract import Message
from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.types import ClientId, ReplicaId
from outvote.wire.client_messages import ReplyStatement


class Silent(Behaviour):
    def speak(self, receiver: ReplicaId, message: Message) -> list[Message]:
        return []

    def answer(self, client: ClientId, statement: ReplyStatement) -> ReplyStatement | None:
        return None
