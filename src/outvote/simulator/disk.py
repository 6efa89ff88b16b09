"""A disk that loses, on a crash, what was not synced - or tears it anywhere. Its bytes are the real log's format.

A crash leaves of the unsynced bytes any prefix, with any sectors in it zeroed: what a write-back cache may do. The
log is read back with the very code that reads real disks, so a durable record that does not come back stops the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from outvote.errors import Rot
from outvote.storage import frames
from outvote.storage.contract import Disk, Recovered, Ticket
from outvote.types import Digest, Nanos, Position

SECTOR_BYTES = 512
SECRET = bytes(range(frames.SECRET_BYTES))


class _Generation:
    """One segment, and the snapshot that it begins behind."""

    def __init__(self, number: int, position: Position, digest: Digest, snapshot: bytes) -> None:
        self.number = number
        self.position = position
        self.digest = digest
        self.snapshot = snapshot
        self.data = bytearray()
        self.synced = 0  # bytes


class SimulatedDisk(Disk):
    """One replica's disk; survives the replica. `after(delay, action)` schedules in the world's time."""

    def __init__(
        self, replica: int, rng: Random, after: Callable[[Nanos, Callable[[], None]], None], sync_max_ns: Nanos
    ) -> None:
        super().__init__()
        self._replica = replica
        self._rng = rng
        self._after = after
        self._sync_max_ns = sync_max_ns
        self._generations: list[_Generation] = []
        self._sequence = 0  # of the last frame written
        self._durable_sequence = 0
        self._ticket: Ticket = 0
        self._incarnation = 0
        self._syncing = False
        self.torn_tails = 0
        self.lost_bytes = 0

    @property
    def settled(self) -> bool:
        """Whether a crash now would lose nothing."""
        return all(generation.synced == len(generation.data) for generation in self._generations)

    def recover(self) -> Recovered:
        if not self._generations:
            self._begin(0, b"", b"", [])
            self._generations[0].synced = len(self._generations[0].data)
        scan = frames.scan(
            [frames.Segment(one.number, 0, bytes(one.data)) for one in self._generations], SECRET,
            self._durable_sequence,
        )
        if scan.rot is not None:
            raise Rot(f"replica {self._replica}: a durable record was lost: {scan.rot.reason}")
        if scan.torn is not None:
            self.torn_tails += 1
            del self._generations[scan.torn.segment + 1 :]
            torn = self._generations[scan.torn.segment]
            del torn.data[scan.torn.offset :]
        self._sequence = scan.sequence
        # What is read back is acted upon: like the real disk, make it durable first.
        for generation in self._generations:
            generation.synced = len(generation.data)
        self._durable_sequence = self._sequence
        newest = self._generations[-1]
        return Recovered(newest.position, newest.digest, newest.snapshot, list(scan.records))

    def append(self, records: Sequence[bytes], notes: Sequence[bytes]) -> Ticket:
        self._write([*records, *notes])
        if records:
            self._ticket += 1
            self._sync()
        return self._ticket

    def keep(self, position: Position, digest: Digest, snapshot: bytes, head: Sequence[bytes]) -> None:
        """Snapshot and head are synced before the older generation goes: atomic, so no crash falls in between."""
        self._begin(position, digest, snapshot, head)
        for generation in self._generations:
            generation.synced = len(generation.data)
        self._durable_sequence = self._sequence
        del self._generations[:-2]

    def check(self) -> None:
        return

    def close(self) -> None:
        return

    def crash(self) -> None:
        """The process is gone, and perhaps the power: unsynced bytes survive in part, torn at any byte."""
        self._incarnation += 1
        self._syncing = False
        rng = self._rng
        for generation in self._generations:
            unsynced = len(generation.data) - generation.synced
            if not unsynced:
                continue
            kept = rng.choice((0, unsynced, rng.randrange(unsynced + 1)))
            self.lost_bytes += unsynced - kept
            del generation.data[generation.synced + kept :]
            for start in range(generation.synced, len(generation.data), SECTOR_BYTES):
                if rng.random() < 0.1:
                    end = min(start + SECTOR_BYTES, len(generation.data))
                    generation.data[start:end] = bytes(end - start)
        self.durable = self._ticket = 0

    def _begin(self, position: Position, digest: Digest, snapshot: bytes, head: Sequence[bytes]) -> None:
        number = self._generations[-1].number + 1 if self._generations else 0
        generation = _Generation(number, position, digest, snapshot)
        generation.data += frames.encode_header(
            frames.SegmentHeader(
                frames.FORMAT_VERSION, self._replica, number, 0, self._sequence + 1, self._durable_sequence,
                position, bytes(32), digest or frames.NO_DIGEST, SECRET,
            )
        )
        self._generations.append(generation)
        self._write(head)

    def _write(self, bodies: Sequence[bytes]) -> None:
        generation = self._generations[-1]
        generation.data += frames.encode_frames(
            bodies, self._sequence + 1, self._durable_sequence, frames.salt_of(SECRET, generation.number, 0)
        )
        self._sequence += len(bodies)

    def _sync(self) -> None:
        """One sync at a time; what is appended meanwhile waits for the next one."""
        if self._syncing:
            return
        self._syncing = True
        incarnation, ticket, sequence = self._incarnation, self._ticket, self._sequence
        generation, size = self._generations[-1], len(self._generations[-1].data)
        delay = self._rng.randrange(self._sync_max_ns) if self._sync_max_ns else 0

        def done() -> None:
            if incarnation != self._incarnation:
                return
            self._syncing = False
            generation.synced = max(generation.synced, size)
            self._durable_sequence = max(self._durable_sequence, sequence)
            self.durable = ticket
            if self._ticket > ticket:
                self._sync()
            self.on_durable()

        self._after(delay, done)
