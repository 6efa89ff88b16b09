"""How a traitor speaks: an honest replica whose voice passes through behaviours, one sin each.

A behaviour sees what its own replica is about to say and returns what is said instead, receiver by receiver, before
anything is sealed. So a traitor can say what it likes, but only under its own key: that is its whole power.
"""

from __future__ import annotations

from random import Random

from outvote.core.contract import ALL, Hint, Message
from outvote.errors import Lie
from outvote.host.voice import Voice
from outvote.protocols.catalogue import Protocol
from outvote.types import ClientId, ReplicaId, Seal, View
from outvote.wire.client_messages import ReplyStatement


class Behaviour:
    """The honest one. Subclasses override what they lie about."""

    def __init__(self, rng: Random, protocol: Protocol, n: int) -> None:
        self.rng = rng
        self.variant = protocol.variant  # what could be said instead
        self.agreement = protocol.agreement  # what somebody says who agrees with everything
        self.n = n

    def speak(self, receiver: ReplicaId, message: Message) -> list[Message]:
        """What `receiver` is told instead of `message`."""
        return [message]

    def answer(self, client: ClientId, statement: ReplyStatement) -> ReplyStatement | None:
        """What a client is told; None for nothing."""
        return statement

    def seal(self, receiver: ReplicaId, seal: Seal) -> Seal:
        """The seal that `receiver` gets under what it is told."""
        return seal

    def heard(self, message: Message) -> list[Message]:
        """What is said to everybody because another replica said `message`."""
        return []

    def again(self) -> list[tuple[ReplicaId, bytes]]:
        """Bodies sent before, to be sent once more now."""
        return []

    def sent(self, receiver: ReplicaId, body: bytes) -> None:
        """What went out, for those that repeat it."""


class TraitorVoice(Voice):
    """A voice with behaviours; with none it is honest, which is how a traitor waits for its moment."""

    behaviours: list[Behaviour]

    @classmethod
    def over(cls, voice: Voice, behaviours: list[Behaviour]) -> TraitorVoice:
        """The same replica, key and network, another tongue."""
        traitor = cls(voice.me, len(voice.others) + 1, voice.sealer, voice.codec, voice.network)
        traitor.behaviours = behaviours
        return traitor

    def promise(self, receiver: ReplicaId, message: Message) -> Seal:
        honest = self.sealer.seal(message.statement()) if message.sealed else b""
        self._tell(receiver, message, honest)
        return honest

    def hint(self, receiver: ReplicaId, hint: Hint) -> None:
        self._tell(receiver, hint, b"")

    def answer(self, client: ClientId, statement: ReplyStatement, view: View) -> None:
        told: ReplyStatement | None = statement
        for behaviour in self.behaviours:
            if told is not None:
                told = behaviour.answer(client, told)
        if told is not None:
            super().answer(client, told, view)

    def overhear(self, body: bytes) -> None:
        """A frame from another replica came in: it may call for a comment."""
        try:
            message, _ = self.codec.decode(body)
        except Lie:
            return
        for behaviour in self.behaviours:
            for said in behaviour.heard(message):
                seal = self._seal(said)
                for other in self.others:
                    self._say(other, self.codec.encode(said, seal))

    def _tell(self, receiver: ReplicaId, message: Message, honest: Seal) -> None:
        for other in self.others if receiver == ALL else (receiver,):
            if other == self.me:
                continue
            said = [message]
            for behaviour in self.behaviours:
                said = [instead for one in said for instead in behaviour.speak(other, one)]
            for one in said:
                seal = honest if one is message else self._seal(one)
                for behaviour in self.behaviours:
                    seal = behaviour.seal(other, seal)
                self._say(other, self.codec.encode(one, seal))
        for behaviour in self.behaviours:
            for other, body in behaviour.again():
                self.network.send(other, body)

    def _seal(self, message: Message) -> Seal:
        return self.sealer.seal(message.statement()) if message.sealed else b""

    def _say(self, receiver: ReplicaId, body: bytes) -> None:
        for behaviour in self.behaviours:
            behaviour.sent(receiver, body)
        self.network.send(receiver, body)
