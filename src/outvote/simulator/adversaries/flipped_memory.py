"""Seals and sends every tenth message, and every tenth answer, with a bit flipped before: broken memory in the host."""

from __future__ import annotations

import msgspec

from outvote.core.contract import Message
from outvote.errors import Lie
from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.types import ClientId, ReplicaId
from outvote.wire.client_messages import ReplyStatement


class FlippedMemory(Behaviour):
    """The seal is good, so nothing but agreement helps."""

    def speak(self, receiver: ReplicaId, message: Message) -> list[Message]:
        if self.rng.random() >= 0.1:
            return [message]
        body = bytearray(self.powers.codec.encode(message, self.powers.seal(message)))
        place = self.rng.randrange(8 * len(body))
        body[place // 8] ^= 1 << place % 8
        try:
            return [self.powers.codec.decode(bytes(body))[0]]
        except Lie:
            return [message]  # the flip hit what could not be sealed at all

    def answer(self, client: ClientId, statement: ReplyStatement) -> ReplyStatement | None:
        if self.rng.random() >= 0.1 or not statement.results or not statement.results[0]:
            return statement
        first = bytearray(statement.results[0])
        first[self.rng.randrange(len(first))] ^= 1 << self.rng.randrange(8)
        return msgspec.structs.replace(statement, results=(bytes(first), *statement.results[1:]))
