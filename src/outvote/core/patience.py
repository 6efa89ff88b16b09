"""A clock around a protocol that has none: it asks again when nothing has come for a while.

Protocols for asynchronous networks assume that what is said arrives at last, and contain no timer. Real networks lose
what was under way when a connection broke. `Patient` is the channel that makes up for it: while the protocol inside is
unfinished and hears nothing new, it is told to `ask` the others, who say again what the asker may lack. How long that
takes influences when something is said again, never what is decided.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from outvote.core.contract import Core, Job, Message, Record, Request, Standing
from outvote.types import ClientId, Digest, Nanos, Position, ReplicaId, Seal


class Timeless(Core):
    """A core that never sets `wake_at` and never reads `now`."""

    question: ClassVar[type[Message]]  # what `ask` says, and what is answered at most once in half an interval

    @abstractmethod
    def unfinished(self) -> bool:
        """Whether it waits for others."""

    @abstractmethod
    def heard(self) -> int:
        """A count that grows with everything new that others say."""

    @abstractmethod
    def ask(self) -> None:
        """Tell the others where this replica is, so that they say again what it may lack."""


class Patient(Core):
    """The core that the host sees: every call goes to the one inside, and the clock is looked at behind it."""

    def __init__(self, inner: Timeless, interval_ns: Nanos, idle_ns: Nanos) -> None:
        super().__init__(inner.me)
        self.inner = inner
        self.out = inner.out
        self.hands_out_jobs = inner.hands_out_jobs
        self.obeys_its_owner = inner.obeys_its_owner
        self._interval_ns = interval_ns
        self._idle_ns = idle_ns
        self._ask_at: Nanos = 0
        self._heard_then = -1
        self._answered: dict[ReplicaId, Nanos] = {}  # one entry a member

    def restore(self, position: Position, digest: Digest, records: Sequence[Record]) -> None:
        self._begin()
        self.inner.restore(position, digest, records)
        self._ask_at = self.now
        self._settle()

    def summary(self) -> list[Record]:
        return self.inner.summary()

    def submit(self, requests: Sequence[Request]) -> None:
        self._begin()
        self.inner.submit(requests)
        self._settle()

    def room(self, client: ClientId) -> int:
        return self.inner.room(client)

    def admits(self, sender: ReplicaId, message: Message) -> bool:
        return self.inner.admits(sender, message)

    def receive(self, sender: ReplicaId, message: Message, seal: Seal) -> None:
        self._begin()
        if isinstance(message, self.inner.question):
            last = self._answered.get(sender)
            if last is not None and self.now - last < self._interval_ns // 2:
                return  # so that asking is no amplifier
            self._answered[sender] = self.now
        self.inner.receive(sender, message, seal)
        self._settle()

    def wake(self) -> None:
        self._begin()
        heard = self.inner.heard()
        if heard == self._heard_then or not self.inner.unfinished():
            self.inner.ask()
        self._heard_then = heard
        self._ask_at = self.now + (self._interval_ns if self.inner.unfinished() else self._idle_ns)
        self._settle()

    def executed(self, position: Position, digest: Digest) -> None:
        self._begin()
        self.inner.executed(position, digest)
        self._settle()

    def computed(self, ticket: int, answer: bytes) -> None:
        self._begin()
        self.inner.computed(ticket, answer)
        self._settle()

    def compute(self, job: Job) -> bytes:
        return self.inner.compute(job)

    def operate(self, what: str, argument: int) -> str:
        self._begin()
        refusal = self.inner.operate(what, argument)
        self._settle()
        return refusal

    def waiting(self) -> Sequence[tuple[ClientId, int]]:
        return self.inner.waiting()

    def forget(self, requests: Sequence[tuple[ClientId, int]]) -> None:
        self.inner.forget(requests)

    def transferred(self, position: Position, digest: Digest) -> None:
        self._begin()
        self.inner.transferred(position, digest)
        self._settle()

    def standing(self) -> Standing:
        return self.inner.standing()

    def _begin(self) -> None:
        self.inner.wall = self.wall
        self.inner.genuine = self.genuine

    def _settle(self) -> None:
        if self.inner.unfinished():
            self._ask_at = min(self._ask_at, self.now + self._interval_ns)
        self.wake_at = self._ask_at
        self.reads_at = self.inner.reads_at
