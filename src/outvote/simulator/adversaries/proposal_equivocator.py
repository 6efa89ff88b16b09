"""Equivocates in its proposals only, and votes like everybody else."""

from __future__ import annotations

from outvote.core.contract import Message
from outvote.simulator.adversaries.equivocator import Equivocator
from outvote.types import ReplicaId


class ProposalEquivocator(Equivocator):
    def speak(self, receiver: ReplicaId, message: Message) -> list[Message]:
        carries_body = message.sealed and message.statement() is not message
        return super().speak(receiver, message) if carries_body else [message]
