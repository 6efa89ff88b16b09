"""A directory whose power can fail before any system call, losing any part of what was not synced.

Content counts as durable at the file's last sync and names at the directory's last sync. What changed since may be
there or not: names one by one, bytes sector by sector, in any order.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SECTOR_BYTES = 64  # smaller than a real one, so that short logs are torn in many places


class PowerFailure(BaseException):
    """Nothing in the code under test may catch this."""


class FragileDirectory:
    """Watches one directory; `fail_at` counts system calls from 0, or is None."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.calls = 0
        self.fail_at: int | None = None
        self._held: dict[int, int] = {}  # inode -> a descriptor that keeps it from being reused
        self._synced: dict[int, bytes] = {}
        self._durable_names: dict[str, int] = {}

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        for name in ("write", "pwrite", "open", "ftruncate", *["posix_fallocate"] * hasattr(os, "posix_fallocate")):
            patch.setattr(os, name, self._watched(getattr(os, name), name))
        for name in ("fdatasync", "fsync"):  # the real drive need not hear of it
            patch.setattr(os, name, self._watched(lambda fd: None, name))
        for name in ("replace", "unlink"):
            patch.setattr(Path, name, self._watched(getattr(Path, name), name))

    def adopt(self) -> None:
        """What is there already is durable."""
        for entry in os.scandir(self.path):
            if entry.name == "lock":
                continue
            if entry.inode() not in self._held:
                self._held[entry.inode()] = os.open(entry.path, os.O_RDONLY)
            self._synced[entry.inode()] = self._content(entry.inode())
        self._durable_names = self._names()

    def _watched(self, real: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if self.fail_at is not None and self.calls >= self.fail_at:
                raise PowerFailure
            self.calls += 1
            result = real(*arguments, **options)
            if name == "open":
                inode = os.fstat(result).st_ino
                is_lock = str(arguments[0]).endswith("lock")  # a second descriptor would go on holding it
                if inode not in self._held and not is_lock:
                    self._held[inode] = os.dup(result)
            elif name == "fdatasync":
                self._synced[os.fstat(arguments[0]).st_ino] = self._content(os.fstat(arguments[0]).st_ino)
            elif name == "fsync":
                self._durable_names = self._names()
            return result

        return call

    def _names(self) -> dict[str, int]:
        return {entry.name: entry.stat().st_ino for entry in os.scandir(self.path)}

    def _content(self, inode: int) -> bytes:
        fd = self._held[inode]
        return os.pread(fd, os.fstat(fd).st_size, 0)

    def after_power_failure(self, target: Path, chance: random.Random) -> None:
        """Fill `target` with what the drive might hold."""
        target.mkdir()
        now = self._names()
        for name in sorted({*now, *self._durable_names}):
            inodes = (self._durable_names.get(name), now.get(name))
            inode = chance.choice(inodes)
            if inode is not None and name != "lock":
                (target / name).write_bytes(self._torn(inode, chance))

    def _torn(self, inode: int, chance: random.Random) -> bytes:
        new, old = self._content(inode), self._synced.get(inode, b"")
        if chance.random() < 0.2:
            return new
        length = chance.randint(min(len(old), len(new)), max(len(old), len(new)))
        result = bytearray()
        for start in range(0, length, SECTOR_BYTES):
            end = min(start + SECTOR_BYTES, length)
            before = old[start:end].ljust(end - start, b"\0")
            after = (new[start:end] + old[start + len(new[start:end]) : end]).ljust(end - start, b"\0")
            result += chance.choice((before, after))
        return bytes(result)

    def let_go(self) -> None:
        for fd in self._held.values():
            os.close(fd)
        self._held.clear()
