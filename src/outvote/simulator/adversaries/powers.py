"""What an adversary can do, and nothing else: speak under the key of a replica it has corrupted, and wait.

The keys of others never come here. What several corrupted replicas know they share through `Ring`: every one of them
may sign for every other, as machines in one hand can.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from copy import copy
from random import Random
from typing import Final

from outvote.core.contract import ALL, Message, Struct
from outvote.core.quorums import faults
from outvote.host.voice import Voice
from outvote.protocols.catalogue import Protocol
from outvote.types import ClientId, Nanos, ReplicaId, Seal, View
from outvote.wire.client_messages import ReplyStatement

PAST_MAX: Final = 400  # some 30 decisions at n = 4


class Ring:
    """The corrupted replicas of one world, and their voices."""

    def __init__(self) -> None:
        self.voices: dict[ReplicaId, Voice] = {}

    def seal_as(self, party: ReplicaId, statement: Struct) -> Seal:
        """Raises KeyError for a replica that is not corrupted: that key is out of reach."""
        return self.voices[party].sealer.seal(statement)


class Powers:
    """One corrupted replica's. `later(delay, action)` and `now` are the host's time."""

    def __init__(
        self, voice: Voice, protocol: Protocol, rng: Random, now: Callable[[], Nanos],
        later: Callable[[Nanos, Callable[[], None]], None], ring: Ring | None = None,
    ) -> None:
        self.me = voice.me
        self.others = voice.others
        self.n = len(voice.others) + 1
        self.f = faults(self.n)
        self.codec = voice.codec
        self.protocol = protocol
        self.rng = rng
        self.now = now
        self.later = later
        self.ring = ring if ring is not None else Ring()
        self.ring.voices[voice.me] = voice
        self.past: deque[tuple[ReplicaId, Message, Seal]] = deque(maxlen=PAST_MAX)  # said and heard, oldest first
        self.forgotten = 0  # how often this replica lost its memory
        self.forget: Callable[[], None] = _nothing  # lose the disk and start again, where the host allows it
        self.lied: Callable[[], None] = _nothing  # told of whatever is said or done that honesty would not
        self._voice = voice
        self._allows: Callable[[ReplicaId], bool] = _everybody

    def aimed(self, allows: Callable[[ReplicaId], bool]) -> Powers:
        """The same powers, but what is sent to others than these is swallowed."""
        aimed = copy(self)
        aimed._allows = allows
        return aimed

    def counted(self, lied: Callable[[], None]) -> Powers:
        """The same powers for one behaviour, that is seen to use them."""
        counted = copy(self)
        counted.lied = lied
        forget = self.forget

        def forget_and_tell() -> None:
            lied()
            forget()

        counted.forget = forget_and_tell
        return counted

    def seal(self, message: Message) -> Seal:
        return self._voice.sealer.seal(message.statement()) if self._voice.codec.seals(message) else b""

    def seal_statement(self, statement: Struct) -> Seal:
        """Whatever it says, under its own key."""
        return self._voice.sealer.seal(statement)

    def say(self, receiver: ReplicaId, message: Message) -> None:
        """Something of its own making, under its own seal; to ALL means to all others."""
        body = self.codec.encode(message, self.seal(message))
        for other in self.others if receiver == ALL else (receiver,):
            self.send(other, body)

    def send(self, receiver: ReplicaId, body: bytes) -> None:
        """Any bytes at all, over its own channels."""
        if receiver != self.me and self._allows(receiver):
            self.lied()
            self._voice.network.send(receiver, body)

    def answer(self, client: ClientId, statement: ReplyStatement, view: View, receipt: bool) -> None:
        self.lied()
        Voice.answer(self._voice, client, statement, view, receipt)


def _everybody(_receiver: ReplicaId) -> bool:
    return True


def _nothing() -> None:
    """There is no disk to lose, and nobody who counts lies."""
