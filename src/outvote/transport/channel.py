"""What a connection needs of whatever makes its bytes safe: bytes in, bytes out, and who is at the other end."""

from __future__ import annotations

from typing import Protocol

from outvote.crypto.key_exchange import SessionKeys
from outvote.types import PartyId


class Channel(Protocol):
    """One connection as bytes: feed what arrived, take what is to leave."""

    established: bool  # both ends have proven who they are
    finished: bool  # the other end has said goodbye
    keys: SessionKeys | None  # those in force, where the channel has agreed on some

    @property
    def news(self) -> bool:
        """Whether something besides plaintext has come since this was last asked for: something waits to be taken, the
        other end has said goodbye, or the keys are new."""
        ...

    def receive(self, data: bytes) -> bytes:
        """The plaintext that `data` completes. Raises Lie; there may be something to `take` all the same."""
        ...

    def encrypt(self, plaintext: bytes) -> bytes:
        """What carries `plaintext`, behind anything that was to leave before; only once established."""
        ...

    def take(self) -> bytes:
        """What is to leave now; empty if nothing."""
        ...

    @property
    def waiting(self) -> bool:
        """Whether there is something to take."""
        ...

    @property
    def cut(self) -> bool:
        """Whether the last thing that came is unfinished."""
        ...

    def identity(self) -> PartyId:
        """Who is at the other end. Raises Lie if nobody we know; only once established."""
        ...

    def refresh(self) -> None:
        """Have new session keys agreed on, if this channel has any; the old ones are refused from then on."""
        ...

    def goodbye(self) -> None:
        """Queue what ends the connection in order."""
        ...


class Side(Protocol):
    """What every connection that we accept, or every one that we dial to one party, begins with."""

    def open(self) -> Channel: ...
