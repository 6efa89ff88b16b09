"""What a host needs of a disk. One writer, one directory, one replica.

The log is a sequence of *generations*. Generation 0 begins empty at position 0; `keep` begins the next one, whose
head is the core's own summary, so that a generation and its snapshot stand alone. Two generations are kept.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from outvote.core.node_store import NodeStore
from outvote.types import Digest, Position

Ticket = int  # counts appends; `durable` reaches a ticket when it and all earlier ones are on the disk


class Recovered(NamedTuple):
    """What a directory holds: the newest good snapshot, and every record written since it, oldest first.

    `salvage`: bytes of states that nobody vouches for: of a damaged snapshot if there is no good one, of what was set
    aside. Whoever uses them verifies them piece by piece."""

    position: Position  # 0 if there is no snapshot
    digest: Digest  # b"" if there is no snapshot
    snapshot: bytes  # b"" if there is no snapshot
    records: list[bytes]
    salvage: bytes = b""


class Disk(ABC):
    """Append, learn when it is durable, keep snapshots, read back."""

    def __init__(self) -> None:
        self.durable: Ticket = 0  # every ticket up to here is durable
        self.kept: Position = 0  # of the newest snapshot stored since this object was made
        self.nodes: NodeStore | None = None  # for a state larger than memory; there after `recover`, if asked for
        self.on_durable: Callable[[], None] = _nobody  # called on the host's thread when one of both has grown

    @abstractmethod
    def recover(self, mending: bool = False) -> Recovered:
        """Read everything back, once, before the first append.

        A torn tail is cut off: those bytes were never durable. Raises Rot if anything before the tail is damaged; with
        `mending` only if nothing readable follows, and else a record that is lost is b"" in its place. Raises
        BrokenStorage if the directory cannot be used, Mistake if it belongs to another cluster or replica."""

    @abstractmethod
    def append(self, records: Sequence[bytes], notes: Sequence[bytes]) -> Ticket:
        """Write `records`, then `notes`. Returns the ticket that covers the records, and asks for one sync of
        everything written so far if there are records. With notes only, returns the last ticket issued and asks
        for no sync. Raises BrokenStorage."""

    @abstractmethod
    def keep(
        self, position: Position, digest: Digest, snapshot: bytes | Iterable[bytes], head: Sequence[bytes]
    ) -> None:
        """Store a snapshot atomically and begin a new generation with `head`; forget all but two generations. The
        snapshot's parts may be made while they are written, in another thread. Raises BrokenStorage."""

    @abstractmethod
    def set_aside(self, data: bytes) -> None:
        """Keep part of a state that is being fetched, behind the parts before, until `keep`: without a promise, and
        not waited for, so after a crash there may be less of it, or none. Raises BrokenStorage."""

    @abstractmethod
    def check(self) -> None:
        """Raises BrokenStorage if a write or sync failed in the background."""

    @abstractmethod
    def close(self) -> None:
        """Sync what was written and let go of the directory."""


def _nobody() -> None:
    """Nobody listens yet."""
