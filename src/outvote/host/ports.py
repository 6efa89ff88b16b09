"""The world as a turn sees it. A host supplies these and nothing else."""

from __future__ import annotations

from typing import Protocol

from outvote.core.contract import Claim, Job, Struct
from outvote.types import ClientId, Nanos, PartyId, Position, ReplicaId, Seal
from outvote.wire.client_messages import ToClient


class Clock(Protocol):
    """Time, read once a turn."""

    def now(self) -> Nanos:
        """Monotonic nanoseconds, for timers."""
        ...

    def wall(self) -> Nanos:
        """Nanoseconds since 1970, for the time that replicas agree on."""
        ...


class Network(Protocol):
    """Carries bytes; may lose, duplicate, delay and reorder them, but never lies about the sender."""

    def send(self, receiver: ReplicaId, body: bytes) -> None: ...

    def answer(self, client: ClientId, message: ToClient) -> None: ...

    def hasten(self) -> None:
        """The caller is about to wait for something: what it has sent had better leave before."""


class Sealer(Protocol):
    """Signs in this replica's name."""

    def seal(self, statement: Struct) -> Seal: ...


class Opener(Protocol):
    """Knows everybody's public key."""

    def opens(self, claim: Claim) -> bool:
        """Whether the seal is the signer's, over exactly this statement, in this cluster and epoch."""
        ...

    def opens_here(self, claim: Claim) -> bool:
        """Whether this replica may be sure of it, though others may not: by its own entry in an authenticator."""
        ...


class Jobs(Protocol):
    """Does what would hold up a turn."""

    def begin(self, job: Job) -> None:
        """Have `Core.compute` do it, beside the turn; then give the answer to `Turn.computed`, and run the turn."""
        ...


class Observer(Protocol):
    """Hears what happened; must not influence it."""

    def count(self, what: str, amount: int = 1) -> None:
        """One more of a named thing; the names are listed in observe/events.py."""
        ...

    def lie(self, party: PartyId, kind: str, text: str) -> None:
        """A party sent what no correct party would send; it has been dropped."""
        ...

    def evidence(self, party: ReplicaId, first: tuple[Struct, Seal], second: tuple[Struct, Seal]) -> None:
        """Two sealed statements of one replica that cannot both be honest."""
        ...

    def note(self, text: str) -> None:
        """A line for people."""
        ...

    def checkpoint(self, position: Position, digest: bytes) -> None:
        """The whole state was digested at this position."""
        ...
