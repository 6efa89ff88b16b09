"""What lies on a simulated disk: segments and snapshots as bytes in the real format, and what can happen to them.

Kept: a crash touches only what was never synced. Rot and misdirected writes touch anything; whoever does that to a
disk keeps count of it.
"""

from __future__ import annotations

from hashlib import sha256
from random import Random

from outvote.storage import frames
from outvote.storage.snapshots import (
    HEADER_BYTES,
    Snapshot,
    SnapshotHeader,
    decode_snapshot_header,
    encode_snapshot_header,
)
from outvote.types import Digest, Position

SECTOR_BYTES = 512
CLUSTER = bytes(32)


class SegmentFile:
    """One generation's log: a header, then frames. `synced` bytes of it survive everything but rot."""

    __slots__ = ("data", "digest", "is_named", "number", "position", "synced")

    def __init__(self, number: int, position: Position, digest: Digest) -> None:
        self.number = number
        self.position = position
        self.digest = digest
        self.data = bytearray()
        self.synced = 0
        self.is_named = False  # its entry in the directory is durable

    @property
    def is_settled(self) -> bool:
        return self.is_named and self.synced == len(self.data)

    def settle(self) -> None:
        """All of it is synced."""
        self.synced = len(self.data)
        self.is_named = True

    def copy(self) -> SegmentFile:
        """As it lies on the disk: without what was not synced."""
        found = SegmentFile(self.number, self.position, self.digest)
        found.data = self.data[: self.synced]
        found.settle()
        return found

    def tear(self, rng: Random, old: bytes) -> int:
        """Power failed: what is left of the bytes not synced, and how many of them are not what was written. `old` is
        what may have lain in the blocks before."""
        written = len(self.data) - self.synced
        fate = rng.choice(("nothing", "prefix", "prefix", "holes", "holes", "everything"))
        if not written or fate == "everything":
            return 0
        if fate == "nothing":
            del self.data[self.synced :]
            return written
        if fate == "prefix":
            left = rng.randrange(written)
            del self.data[self.synced + left :]
            return written - left
        whole = bytes(self.data)
        if rng.random() < 0.5:
            del self.data[self.synced + 1 + rng.randrange(written) :]
        first = self.synced - self.synced % SECTOR_BYTES
        for start in range(first, len(self.data), SECTOR_BYTES):
            begin, end = max(start, self.synced), min(start + SECTOR_BYTES, len(self.data))
            kind = rng.choice(("new", "new", "zero", "garbage", "old"))
            if kind == "zero":
                self.data[begin:end] = bytes(end - begin)
            elif kind == "garbage":
                self.data[begin:end] = rng.randbytes(end - begin)
            elif kind == "old":
                self.data[begin:end] = old[begin:end].ljust(end - begin, b"\0")
        return written - sum(1 for before, after in zip(whole, self.data, strict=False) if before == after)


def encode_snapshot(replica: int, snapshot: Snapshot) -> bytes:
    """As snapshots.write_snapshot writes it."""
    header = SnapshotHeader(
        frames.FORMAT_VERSION, replica, snapshot.generation, snapshot.position, snapshot.sequence,
        len(snapshot.state), CLUSTER, snapshot.digest, sha256(snapshot.state).digest(),
    )
    return encode_snapshot_header(header) + snapshot.state


def decode_snapshot(data: bytes) -> Snapshot | None:
    """As snapshots.read_snapshot reads it; None if it is damaged."""
    header = decode_snapshot_header(data)
    state = data[HEADER_BYTES:]
    if header is None or header.length != len(state) or header.checksum != sha256(state).digest():
        return None
    return Snapshot(header.generation, header.position, header.sequence, header.digest, state)


def flip_bit(data: bytearray, rng: Random, end: int) -> None:
    """One bit of the first `end` bytes."""
    data[rng.randrange(end)] ^= 1 << rng.randrange(8)


def spoil_sector(data: bytearray, rng: Random, end: int) -> None:
    """One sector that overlaps the first `end` bytes becomes zeros or garbage."""
    start = rng.randrange(end) // SECTOR_BYTES * SECTOR_BYTES
    stop = min(start + SECTOR_BYTES, len(data))
    was = data[start:stop]
    now = bytes(stop - start) if rng.random() < 0.5 else rng.randbytes(stop - start)
    data[start:stop] = now
    if was == now:
        data[start] ^= 0xFF
