"""What the storage tests share: an owner, a host's thread that waits to be told, and a copy of a directory."""

from __future__ import annotations

import queue
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from outvote.storage.directory import DirectoryDisk

CLUSTER = sha256(b"a cluster").digest()
REPLICA = 2


def digest(state: bytes) -> bytes:
    return sha256(state).digest()


class HostThread:
    """Runs what was posted, when the test says so."""

    def __init__(self) -> None:
        self._posted: queue.Queue[Callable[[], None]] = queue.Queue()

    def post(self, work: Callable[[], None]) -> None:
        self._posted.put(work)

    def run_until(self, is_done: Callable[[], bool]) -> None:
        """Raises queue.Empty if nothing is posted for a long time."""
        while not is_done():
            self._posted.get(timeout=30)()


def inline(
    path: Path, reports: list[str] | None = None, segment_bytes_max: int = 64 << 20, reserving: bool = False
) -> DirectoryDisk:
    report = None if reports is None else reports.append
    return DirectoryDisk(
        path, CLUSTER, REPLICA, sync="inline", report=report, segment_bytes_max=segment_bytes_max,
        reserving=reserving,
    )


def copy(source: Path, target: Path) -> Path:
    """Make `target` hold the same files; it may be there already. What is equal is left alone, and nothing is
    written over: some file systems sync a file that replaces its old content."""
    target.mkdir(exist_ok=True)
    contents = {entry.name: entry.read_bytes() for entry in source.iterdir()}
    for entry in list(target.iterdir()):
        if entry.name not in contents or entry.read_bytes() != contents[entry.name]:
            entry.unlink()
    for name, content in contents.items():
        if not (target / name).exists():
            (target / name).write_bytes(content)
    return target
