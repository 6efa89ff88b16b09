"""The mark file: how far the log is durable, kept apart from the log, and the directory's secret.

It is renewed after each sync of the log and not synced itself, so it may lag behind and never runs ahead:
whatever it says was true before it was written. Two slots in two sectors are written in turn, so a torn
write loses one.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Final, NamedTuple
from zlib import crc32

from outvote.errors import BrokenStorage, Mistake
from outvote.storage.files import (
    broken,
    close_quietly,
    open_existing,
    open_new,
    read_all,
    sync_directory,
    sync_file,
    write_all,
    write_at,
)
from outvote.storage.frames import FORMAT_VERSION, SECRET_BYTES

MARK_NAME: Final = "durable.mark"
_MAGIC: Final = b"OVMARKER"
_IDENTITY: Final = struct.Struct("<8sII32s16s")
_CHECK: Final = struct.Struct("<I")
_SLOT: Final = struct.Struct("<QI")  # sequence, checksum
_SLOT_CHECKED: Final = struct.Struct("<QI")  # sequence, replica
_SECTOR_BYTES: Final = 4096  # a slot alone in the largest sector in use
_FILE_BYTES: Final = 3 * _SECTOR_BYTES


class MarkRead(NamedTuple):
    """What the mark file says."""

    secret: bytes | None  # None if there is no file or its identity is damaged
    proven: int  # every sequence up to here was durable; 0 if nothing can be read
    present: bool


def read_mark(directory: Path, cluster: bytes, replica: int) -> MarkRead:
    """Raises Mistake if the directory belongs to another cluster or replica, BrokenStorage if it cannot be
    read."""
    path = directory / MARK_NAME
    if not path.exists():
        return MarkRead(None, 0, False)
    data = read_all(path, _FILE_BYTES)
    if data is None or len(data) != _FILE_BYTES:
        return MarkRead(None, 0, True)
    body = data[: _IDENTITY.size]
    secret: bytes | None = None
    if _CHECK.unpack_from(data, _IDENTITY.size)[0] == crc32(body):
        magic, version, found_replica, found_cluster, found_secret = _IDENTITY.unpack(body)
        if magic == _MAGIC:
            check_owner(path, version, (found_cluster, found_replica), (cluster, replica))
            secret = found_secret
    proven = 0
    for slot in (1, 2):
        sequence, check = _SLOT.unpack_from(data, slot * _SECTOR_BYTES)
        if check == _slot_check(sequence, _salt(cluster), replica):
            proven = max(proven, sequence)
    return MarkRead(secret, proven, True)


def check_owner(path: Path, version: int, found: tuple[bytes, int], owner: tuple[bytes, int]) -> None:
    """Raises Mistake unless a file with an undamaged header was written by this replica in this format."""
    cluster, replica = owner
    found_cluster, found_replica = found
    if version != FORMAT_VERSION:
        raise Mistake(
            f"{path}: written in format {version}, this outvote reads {FORMAT_VERSION}; use the other release"
        )
    if found_cluster != cluster:
        raise Mistake(f"{path}: belongs to another cluster; name the data directory of this one")
    if found_replica != replica:
        raise Mistake(f"{path}: belongs to replica {found_replica}, not {replica}; name its own directory")


class Mark:
    """The open mark file. Used by one thread at a time."""

    def __init__(self, directory: Path, cluster: bytes, replica: int, secret: bytes, proven: int) -> None:
        """Writes the file anew, atomically. Raises BrokenStorage."""
        self._path = directory / MARK_NAME
        self._salt = _salt(cluster)
        self._replica = replica
        self._slot = 1
        body = _IDENTITY.pack(_MAGIC, FORMAT_VERSION, replica, cluster, secret)
        slot = _SLOT.pack(proven, _slot_check(proven, self._salt, replica))
        identity = body + _CHECK.pack(crc32(body))
        data = identity.ljust(_SECTOR_BYTES, b"\0") + 2 * slot.ljust(_SECTOR_BYTES, b"\0")
        fresh = directory / (MARK_NAME + ".temp")
        fd = open_new(fresh)
        try:
            write_all(fd, fresh, data)
            sync_file(fd, fresh)
        finally:
            close_quietly(fd)
        try:
            fresh.replace(self._path)
        except OSError as error:
            raise broken(self._path, "renaming", error) from None
        sync_directory(directory)
        self._fd = open_existing(self._path)

    def renew(self, sequence: int) -> None:
        """Say that every sequence up to this is durable. Raises BrokenStorage."""
        data = _SLOT.pack(sequence, _slot_check(sequence, self._salt, self._replica))
        write_at(self._fd, self._path, data, self._slot * _SECTOR_BYTES)
        self._slot = 3 - self._slot

    def close(self) -> BrokenStorage | None:
        """Sync and let go; a failure costs testimony, not records, so it is told and not raised."""
        failure: BrokenStorage | None = None
        try:
            sync_file(self._fd, self._path)
        except BrokenStorage as error:
            failure = error
        close_quietly(self._fd)
        return failure


def new_secret() -> bytes:
    """Bytes that nobody outside this directory knows."""
    return os.urandom(SECRET_BYTES)


def _salt(cluster: bytes) -> int:
    """Where a slot's checksum begins, so that one of another cluster does not verify."""
    return crc32(cluster)


def _slot_check(sequence: int, salt: int, replica: int) -> int:
    return crc32(_SLOT_CHECKED.pack(sequence, replica), salt)
