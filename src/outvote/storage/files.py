"""The few system calls that durability rests on, and what their failures mean in words.

A write or sync that failed is never tried again: after a failed sync the operating system may have dropped
the very pages it could not write and call the next sync a success.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from pathlib import Path
from typing import Final

from outvote.errors import BrokenStorage, DiskFull, Mistake

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

FILE_MODE: Final = 0o600
DIRECTORY_MODE: Final = 0o700
_BINARY: Final[int] = getattr(os, "O_BINARY", 0)
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # EFBIG: the limit set for this process, `ulimit -f`
_LOCKED: Final = (errno.EWOULDBLOCK, errno.EACCES, errno.EAGAIN, errno.EDEADLK)


def broken(path: Path, doing: str, error: OSError) -> BrokenStorage:
    """The sentence for a failed system call."""
    if error.errno in _FULL:
        return DiskFull(
            f"{path}: no space left while {doing} ({error.strerror}); free some and start this replica again"
        )
    return BrokenStorage(
        f"{path}: {doing} failed ({error.strerror or error}); this replica stops, check the disk before a restart"
    )


def open_new(path: Path) -> int:
    """A file for appending, emptied if a crash left one there. Raises BrokenStorage."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | _BINARY, FILE_MODE)
    except OSError as error:
        raise broken(path, "creating the file", error) from None


def open_appending(path: Path) -> int:
    """A file for appending, with what is in it, or a new one. Raises BrokenStorage."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | _BINARY, FILE_MODE)
    except OSError as error:
        raise broken(path, "opening the file", error) from None


def open_existing(path: Path) -> int:
    """A file for reading and writing. Raises BrokenStorage."""
    try:
        return os.open(path, os.O_RDWR | _BINARY)
    except OSError as error:
        raise broken(path, "opening the file", error) from None


def write_all(fd: int, path: Path, data: bytes) -> None:
    """Everything, in one call unless the system takes less. Raises BrokenStorage."""
    try:
        written = os.write(fd, data)
        rest = memoryview(data)
        while written < len(rest):
            rest = rest[written:]
            written = os.write(fd, rest)
            if written == 0:
                raise OSError(errno.EIO, "the system takes no more bytes")
    except OSError as error:
        raise broken(path, "writing", error) from None


def write_at(fd: int, path: Path, data: bytes, offset: int) -> None:
    """A few bytes at a fixed place. Raises BrokenStorage."""
    try:
        if sys.platform == "win32":
            os.lseek(fd, offset, os.SEEK_SET)
            written = os.write(fd, data)
        else:
            written = os.pwrite(fd, data, offset)
        if written != len(data):
            raise OSError(errno.EIO, "the system took fewer bytes than given")
    except OSError as error:
        raise broken(path, "writing", error) from None


def reserve(fd: int, begin: int, count: int) -> bool:
    """Have the file hold these bytes, zeros for now, so that a sync need not write down a new length each time. False
    if the system has no such thing, or no room: then the file is as it was, or longer by zeros."""
    if sys.platform != "linux":
        return False
    try:
        os.posix_fallocate(fd, begin, count)
    except OSError:
        return False
    return True


def sync_file(fd: int, path: Path) -> None:
    """The file's bytes and its length are durable when this returns. Raises BrokenStorage."""
    try:
        if sys.platform == "darwin":
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)  # fsync alone leaves the bytes in the drive's cache there
        elif sys.platform == "win32":
            os.fsync(fd)
        else:
            os.fdatasync(fd)
    except OSError as error:
        raise broken(path, "syncing", error) from None


def sync_directory(path: Path) -> None:
    """Names made, changed or removed in the directory are durable when this returns. Raises BrokenStorage."""
    if sys.platform == "win32":
        return  # directories cannot be opened there; NTFS journals names itself
    try:
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise broken(path, "syncing the directory", error) from None


def close_quietly(fd: int) -> None:
    """Let go of a file whose bytes are synced, or no longer matter."""
    with contextlib.suppress(OSError):
        os.close(fd)


def remove(path: Path) -> None:
    """Raises BrokenStorage; a file that is not there is fine."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise broken(path, "removing the file", error) from None


def read_all(path: Path, bytes_max: int) -> bytes | None:
    """The whole file, or None if it is longer than `bytes_max`. Raises BrokenStorage."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            return None if size > bytes_max else file.read(size)
    except OSError as error:
        raise broken(path, "reading", error) from None


def make_directory(path: Path) -> None:
    """Raises Mistake if the parent is missing or the path is a file, BrokenStorage if the system refuses."""
    try:
        path.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
    except FileNotFoundError:
        raise Mistake(f"{path}: its parent directory does not exist; create it or name another") from None
    except (FileExistsError, NotADirectoryError):
        raise Mistake(f"{path}: this is a file; name a directory for the replica's data") from None
    except PermissionError as error:
        raise Mistake(f"{path}: cannot be created ({error.strerror}); name one you may write") from None
    except OSError as error:
        raise broken(path, "creating the directory", error) from None


def lock(path: Path) -> int:
    """Hold the directory until the descriptor is closed or the process ends. Raises Mistake if another
    does."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | _BINARY, FILE_MODE)
    except PermissionError as error:
        raise Mistake(f"{path}: {error.strerror}; let this user write here or name another place") from None
    except OSError as error:
        raise broken(path, "opening the lock", error) from None
    try:
        if sys.platform == "win32":
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        if error.errno in _LOCKED:
            raise Mistake(
                f"{path.parent}: another replica runs on this directory; stop it or name another directory"
            ) from None
        raise broken(path, "locking", error) from None
    return fd
