"""The storage contract without a disk: for tests, and for a whole cluster in one process.

Invariant: what `recover` returns is what DirectoryDisk would return after the same calls and a crash
that loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from outvote.errors import BrokenStorage
from outvote.storage.contract import Disk, Recovered, Ticket
from outvote.storage.snapshots import SNAPSHOT_BYTES_MAX, check_snapshot
from outvote.types import Digest, Position


class MemoryDisk(Disk):
    """Durable at once; `durable` has grown when `append` returns, and `on_durable` is never called."""

    def __init__(self) -> None:
        super().__init__()
        self._position: Position = 0
        self._digest: Digest = b""
        self._snapshot = b""
        self._records: list[bytes] = []
        self._aside = b""
        self._open = True

    def reopen(self) -> None:
        """The replica was restarted: tickets begin again, what was written stays."""
        super().__init__()
        self._open = True

    def recover(self, mending: bool = False) -> Recovered:
        return Recovered(self._position, self._digest, self._snapshot, list(self._records), self._aside)

    def append(self, records: Sequence[bytes], notes: Sequence[bytes]) -> Ticket:
        self.check()
        self._records.extend(records)
        self._records.extend(notes)
        if records:
            self.durable += 1
        return self.durable

    def keep(
        self, position: Position, digest: Digest, snapshot: bytes | Iterable[bytes], head: Sequence[bytes]
    ) -> None:
        self.check()
        state = snapshot if isinstance(snapshot, bytes) else b"".join(snapshot)
        check_snapshot(state, digest)
        self._position, self._digest, self._snapshot = position, digest, state
        self._records = list(head)
        self._aside = b""
        self.kept = position

    def set_aside(self, data: bytes) -> None:
        self.check()
        if len(self._aside) + len(data) <= SNAPSHOT_BYTES_MAX:
            self._aside += data

    def check(self) -> None:
        if not self._open:
            raise BrokenStorage("the memory disk is closed; call reopen first")

    def close(self) -> None:
        self._open = False
