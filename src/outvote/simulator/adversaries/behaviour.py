"""How a traitor speaks: an honest replica whose voice passes through behaviours, one sin each.

A behaviour sees what its own replica is about to say and returns what is said instead, receiver by receiver, before
anything is sealed; and it may act of itself through its Powers. So a traitor can say what it likes, when it likes,
but only under keys that are corrupted: that is its whole power.
"""

from __future__ import annotations

from collections.abc import Callable

from outvote.core.contract import ALL, Hint, Message
from outvote.errors import Lie
from outvote.host.voice import Voice
from outvote.simulator.adversaries.powers import Powers
from outvote.types import ClientId, Nanos, PartyId, ReplicaId, Seal, View
from outvote.wire.client_messages import ReadReply, ReplyStatement, ToClient


class Behaviour:
    """The honest one. Subclasses override what they lie about."""

    def __init__(self, powers: Powers) -> None:
        self.powers = powers
        self.rng = powers.rng
        self.n = powers.n
        self.variant = powers.protocol.variant  # what could be said instead
        self.agreement = powers.protocol.agreement  # what somebody says who agrees with everything

    def begin(self) -> None:
        """Called once when the traitor puts this on: the place to start a timer with `powers.later`."""

    def speak(self, receiver: ReplicaId, message: Message) -> list[Message]:
        """What `receiver` is told instead of `message`."""
        return [message]

    def answer(self, client: ClientId, statement: ReplyStatement) -> ReplyStatement | None:
        """What a client is told; None for nothing."""
        return statement

    def tell(self, client: ClientId, message: ToClient) -> ToClient | None:
        """What a client is told in the end, digests and marks included; None for nothing."""
        return message

    def seal(self, receiver: ReplicaId, seal: Seal) -> Seal:
        """The seal that `receiver` gets under what it is told."""
        return seal

    def delay(self, receiver: ReplicaId, message: Message) -> Nanos:
        """How long `receiver` is kept waiting for it."""
        return 0

    def heard(self, sender: ReplicaId, message: Message, seal: Seal) -> None:
        """Another replica said this to us; say through `powers` what comes of it."""

    def sent(self, receiver: ReplicaId, body: bytes) -> None:
        """What went out, for those that repeat it."""


class Aimed(Behaviour):
    """Another behaviour, towards chosen receivers and between chosen moments only."""

    def __init__(
        self, kind: Callable[[Powers], Behaviour], powers: Powers, targets: tuple[ReplicaId, ...], since: Nanos,
        until: Nanos,
    ) -> None:
        super().__init__(powers)
        self.targets = targets  # empty: everybody
        self.since = since
        self.until = until
        self.inner = kind(powers.aimed(self._hits))

    def _hits(self, receiver: ReplicaId) -> bool:
        return self._on() and (not self.targets or receiver in self.targets)

    def _on(self) -> bool:
        return self.since <= self.powers.now() < self.until

    def begin(self) -> None:
        self.powers.later(max(0, self.since - self.powers.now()), self.inner.begin)

    def speak(self, receiver: ReplicaId, message: Message) -> list[Message]:
        return self.inner.speak(receiver, message) if self._hits(receiver) else [message]

    def answer(self, client: ClientId, statement: ReplyStatement) -> ReplyStatement | None:
        return self.inner.answer(client, statement) if self._on() else statement

    def tell(self, client: ClientId, message: ToClient) -> ToClient | None:
        return self.inner.tell(client, message) if self._on() else message

    def seal(self, receiver: ReplicaId, seal: Seal) -> Seal:
        return self.inner.seal(receiver, seal) if self._hits(receiver) else seal

    def delay(self, receiver: ReplicaId, message: Message) -> Nanos:
        return self.inner.delay(receiver, message) if self._hits(receiver) else 0

    def heard(self, sender: ReplicaId, message: Message, seal: Seal) -> None:
        if self._on():
            self.inner.heard(sender, message, seal)

    def sent(self, receiver: ReplicaId, body: bytes) -> None:
        self.inner.sent(receiver, body)


class TraitorVoice(Voice):
    """A voice with behaviours; with none it is honest, which is how a traitor waits for its moment."""

    powers: Powers
    behaviours: list[Behaviour]
    # Told what honesty would say now, to whom, and whether anything is said at all; None: nobody asks.
    due: Callable[[PartyId, bytes | ReplyStatement, str, bool], None] | None = None

    @classmethod
    def over(cls, voice: Voice, powers: Powers, behaviours: list[Behaviour]) -> TraitorVoice:
        """The same replica, key and network, another tongue."""
        traitor = cls(voice.me, len(voice.others) + 1, voice.sealer, voice.codec, voice.network)
        traitor.powers = powers
        traitor.put_on(behaviours)
        return traitor

    def put_on(self, behaviours: list[Behaviour]) -> None:
        """From now on these, instead of what there was."""
        self.behaviours = behaviours
        for behaviour in behaviours:
            behaviour.begin()

    def promise(self, receiver: ReplicaId, message: Message) -> Seal:
        honest = self.sealer.seal(message.statement()) if self.codec.seals(message) else b""
        self.powers.past.append((self.me, message, honest))
        self._tell(receiver, message, honest)
        return honest

    def hint(self, receiver: ReplicaId, hint: Hint) -> None:
        self._tell(receiver, hint, b"")

    def answer(
        self, client: ClientId, statement: ReplyStatement, view: View, receipt: bool, whole: bool = True,
        tentative: bool = False,
    ) -> None:
        told = self._instead(client, statement)
        if self.due is not None:
            self.due(client, statement, "Reply", told is not None)
        if told is not None:
            super().answer(client, told, view, receipt, whole, tentative)

    def read(self, client: ClientId, reply: ReadReply, whole: ReplicaId, proof: bool = False) -> None:
        """Lies about results are told to those who read as well."""
        told = self._instead(client, ReplyStatement(client, reply.number, reply.position, reply.results))
        if told is not None and told.client == client:
            again = ReadReply(told.number, told.position, told.results, b"", reply.age_ns)
            super().read(client, again, whole, proof)

    def _instead(self, client: ClientId, statement: ReplyStatement) -> ReplyStatement | None:
        told: ReplyStatement | None = statement
        for behaviour in self.behaviours:
            if told is not None:
                before = told
                told = behaviour.answer(client, told)
                if told is not before:
                    behaviour.powers.lied()
        return told

    def tell(self, client: ClientId, message: ToClient) -> None:
        told: ToClient | None = message
        for behaviour in self.behaviours:
            if told is not None:
                before = told
                told = behaviour.tell(client, told)
                if told is not before:
                    behaviour.powers.lied()
        if told is not None:
            super().tell(client, told)

    def overhear(self, sender: ReplicaId, body: bytes) -> None:
        """A frame from another replica came in: it may call for a comment."""
        if not self.behaviours:
            return
        try:
            message, seal = self.codec.decode(body)
        except Lie:
            return
        self.powers.past.append((sender, message, seal))
        for behaviour in self.behaviours:
            behaviour.heard(sender, message, seal)

    def _tell(self, receiver: ReplicaId, message: Message, honest: Seal) -> None:
        for other in self.others if receiver == ALL else (receiver,):
            if other == self.me:
                continue
            said = [message]
            for behaviour in self.behaviours:
                before, said = said, [instead for one in said for instead in behaviour.speak(other, one)]
                if said != before:
                    behaviour.powers.lied()
            if self.due is not None:
                self.due(other, self.codec.encode(message, honest), type(message).__name__, bool(said))
            for one in said:
                seal = honest if one is message else self._seal(one)
                wait = 0
                for behaviour in self.behaviours:
                    given, seal = seal, behaviour.seal(other, seal)
                    delay = behaviour.delay(other, one)
                    wait += delay
                    if delay or seal != given:
                        behaviour.powers.lied()
                try:
                    body = self.codec.encode(one, seal)
                except OverflowError:  # two lies on top of each other: a number that the wire cannot carry
                    continue
                self._say(other, body, wait)

    def _seal(self, message: Message) -> Seal:
        try:
            return self.powers.seal(message)
        except OverflowError:  # nor can it be sealed; it will not be sent
            return b""

    def _say(self, receiver: ReplicaId, body: bytes, wait: Nanos) -> None:
        for behaviour in self.behaviours:
            behaviour.sent(receiver, body)
        if wait:
            self.powers.later(wait, lambda: self.network.send(receiver, body))
        else:
            self.network.send(receiver, body)
