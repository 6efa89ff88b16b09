"""Snapshots of the state: one file a generation, `snapshot-<generation>.state`, whole or not there.

A snapshot is written beside its place, synced, renamed and the directory synced, in steps, so that a large
one never keeps the log waiting for longer than one step. Its name appears only after its generation's head
is durable.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple
from zlib import crc32

from outvote.errors import BrokenStorage, Mistake, Rot
from outvote.storage.files import (
    broken,
    close_quietly,
    open_appending,
    open_new,
    read_all,
    remove,
    sync_directory,
    sync_file,
    write_all,
    write_at,
)
from outvote.storage.frames import FORMAT_VERSION
from outvote.storage.mark import check_owner

SNAPSHOT_BYTES_MAX: Final = 4 << 30  # a state is held in memory twice while it is read: 8 GiB
STEP_BYTES: Final = 4 << 20  # at 100 MB/s, the log waits for 40 ms at most

ASIDE_NAME: Final = "fetched.pages"
_NAME: Final = re.compile(r"snapshot-(\d{10})\.state")
_MAGIC: Final = b"OVSTATES"
_HEADER: Final = struct.Struct("<8sIIQQQQ32s32s32s")
_CHECK: Final = struct.Struct("<I")
HEADER_BYTES: Final = _HEADER.size + _CHECK.size


class SnapshotHeader(NamedTuple):
    """What stands before the state's bytes."""

    version: int
    replica: int
    generation: int
    position: int
    sequence: int  # testimony: the log was durable up to here, its generation's head included
    length: int
    cluster: bytes
    digest: bytes  # of the state, as the replicas certify it
    checksum: bytes  # SHA-256 of the bytes that follow


class Snapshot(NamedTuple):
    """A good snapshot."""

    generation: int
    position: int
    sequence: int
    digest: bytes
    state: bytes


class Unwritten(NamedTuple):
    """One that is to be written."""

    generation: int
    position: int
    sequence: int
    digest: bytes
    state: bytes | Iterable[bytes]


def snapshot_name(generation: int) -> str:
    return f"snapshot-{generation:010d}.state"


def list_snapshots(directory: Path) -> list[int]:
    """The generations that have one, in order. Raises BrokenStorage."""
    try:
        names = [entry.name for entry in directory.iterdir()]
    except OSError as error:
        raise broken(directory, "listing the directory", error) from None
    return sorted(int(found[1]) for name in names if (found := _NAME.fullmatch(name)))


def encode_snapshot_header(header: SnapshotHeader) -> bytes:
    """HEADER_BYTES bytes."""
    body = _HEADER.pack(
        _MAGIC, header.version, header.replica, header.generation, header.position, header.sequence,
        header.length, header.cluster, header.digest, header.checksum,
    )
    return body + _CHECK.pack(crc32(body))


def decode_snapshot_header(data: bytes) -> SnapshotHeader | None:
    """None if these bytes do not begin with a whole, undamaged header."""
    if len(data) < HEADER_BYTES:
        return None
    body = data[: _HEADER.size]
    if _CHECK.unpack_from(data, _HEADER.size)[0] != crc32(body):
        return None
    magic, version, replica, generation, position, sequence, length, cluster, digest, checksum = (
        _HEADER.unpack(body)
    )
    if magic != _MAGIC:
        return None
    return SnapshotHeader(
        version, replica, generation, position, sequence, length, cluster, digest, checksum
    )


def write_snapshot(directory: Path, owner: tuple[bytes, int], snapshot: Unwritten) -> Iterator[None]:
    """Yields between steps; durable under its name when exhausted. The header is written last: until then the file does
    not begin like a snapshot. Raises BrokenStorage, and Mistake if it turns out to be too large."""
    path = directory / snapshot_name(snapshot.generation)
    fresh = directory / (path.name + ".temp")
    hasher = sha256()
    length = 0
    fd = open_new(fresh)
    try:
        write_all(fd, fresh, bytes(HEADER_BYTES))
        for step in _steps(snapshot.state):
            if step:
                length += len(step)
                check_length(length)
                hasher.update(step)
                write_all(fd, fresh, step)
                sync_file(fd, fresh)
            yield
        header = SnapshotHeader(
            FORMAT_VERSION, owner[1], snapshot.generation, snapshot.position, snapshot.sequence, length,
            owner[0], snapshot.digest, hasher.digest(),
        )
        write_at(fd, fresh, encode_snapshot_header(header), 0)
        sync_file(fd, fresh)
    finally:
        close_quietly(fd)
    try:
        fresh.replace(path)
    except OSError as error:
        raise broken(path, "renaming", error) from None
    sync_directory(directory)


def _steps(state: bytes | Iterable[bytes]) -> Iterator[bytes]:
    """Its bytes, STEP_BYTES at a time; an empty part asks for a pause and makes an empty step."""
    parts: list[bytes] = []
    size_bytes = 0
    for part in (state,) if isinstance(state, bytes) else state:
        if not part:
            yield part
        parts.append(part)
        size_bytes += len(part)
        if size_bytes >= STEP_BYTES:
            joined = b"".join(parts)
            whole = len(joined) // STEP_BYTES * STEP_BYTES
            for start in range(0, whole, STEP_BYTES):
                yield joined[start : start + STEP_BYTES]
            parts = [joined[whole:]]
            size_bytes = len(joined) - whole
    if size_bytes:
        yield b"".join(parts)


def read_snapshot(directory: Path, generation: int, owner: tuple[bytes, int]) -> Snapshot:
    """Raises Rot if it is damaged, Mistake if it belongs to another cluster or replica, BrokenStorage if it
    cannot be read."""
    path = directory / snapshot_name(generation)
    data = read_all(path, SNAPSHOT_BYTES_MAX + HEADER_BYTES)
    header = decode_snapshot_header(data) if data is not None else None
    if data is None or header is None:
        raise Rot(f"{path}: byte 0: the snapshot's header is cut short or damaged")
    check_owner(path, header.version, (header.cluster, header.replica), owner)
    state = data[HEADER_BYTES:]
    if header.generation != generation:
        raise Rot(f"{path}: byte 0: this is the snapshot of generation {header.generation}")
    if header.length != len(state) or header.checksum != sha256(state).digest():
        raise Rot(f"{path}: byte {HEADER_BYTES}: the state does not match its checksum")
    return Snapshot(generation, header.position, header.sequence, header.digest, state)


def salvage_snapshot(directory: Path, generation: int) -> bytes:
    """What can be read of a damaged one's state; nothing if it cannot be read at all."""
    try:
        data = read_all(directory / snapshot_name(generation), SNAPSHOT_BYTES_MAX + HEADER_BYTES)
    except BrokenStorage:
        return b""
    return data[HEADER_BYTES:] if data is not None else b""


class Aside:
    """`fetched.pages`: parts of a state that is being fetched. Never synced: losing it costs time."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / ASIDE_NAME
        self._fd = -1
        self._size_bytes = 0

    def read(self) -> bytes:
        """What a crash left. Raises BrokenStorage."""
        data = (read_all(self._path, SNAPSHOT_BYTES_MAX) or b"") if self._path.exists() else b""
        self._size_bytes = len(data)
        return data

    def append(self, data: bytes) -> None:
        """Beyond SNAPSHOT_BYTES_MAX nothing more is kept. Raises BrokenStorage."""
        if self._size_bytes + len(data) > SNAPSHOT_BYTES_MAX:
            return
        if self._fd < 0:
            self._fd = open_appending(self._path)
        write_all(self._fd, self._path, data)
        self._size_bytes += len(data)

    def clear(self) -> None:
        """Raises BrokenStorage."""
        self.close()
        if self._size_bytes:
            self._size_bytes = 0
            remove(self._path)

    def close(self) -> None:
        if self._fd >= 0:
            close_quietly(self._fd)
            self._fd = -1


def check_length(length: int) -> None:
    """Raises Mistake if no snapshot may have so many bytes."""
    if length > SNAPSHOT_BYTES_MAX:
        raise Mistake(f"a snapshot of {length} bytes is longer than {SNAPSHOT_BYTES_MAX}; keep less in the state")


def check_snapshot(snapshot: bytes, digest: bytes) -> None:
    """Raises Mistake if this cannot be kept."""
    check_length(len(snapshot))
    if len(digest) != 32:
        raise Mistake(f"a state's digest has 32 bytes, not {len(digest)}; hand over its SHA-256")


def remove_snapshots_before(directory: Path, generation: int) -> None:
    """Raises BrokenStorage."""
    for old in list_snapshots(directory):
        if old < generation:
            remove(directory / snapshot_name(old))


def remove_unfinished(directory: Path) -> None:
    """What a crash left half-written. Raises BrokenStorage."""
    try:
        unfinished = sorted(directory.glob("*.temp"))
    except OSError as error:
        raise broken(directory, "listing the directory", error) from None
    for path in unfinished:
        remove(path)
