"""`new-key.ceiling`: a number that no counter of this replica's NEW-KEYs was ever above. Raised before they are used.

Losing it, or reading nothing from it, is no danger: no key depends on it, and a clock that runs forward makes up for
it. Without it a replica whose clock was set back would be refused by all others until the clock is where it was.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final
from zlib import crc32

from outvote.errors import BrokenStorage
from outvote.storage.files import close_quietly, open_new, read_all, sync_directory, sync_file, write_all

CEILING_NAME: Final = "new-key.ceiling"
_BODY: Final = struct.Struct("<8sQ")
_CHECK: Final = struct.Struct("<I")
_MAGIC: Final = b"OVCEILNG"


class DurableCeiling:
    """Of one replica, in its directory."""

    __slots__ = ("_path", "_report")

    def __init__(self, path: Path, report: Callable[[str], None]) -> None:
        self._path = path
        self._report = report

    def read(self) -> int:
        """0 if there is none, or nothing that can be read."""
        if not self._path.exists():
            return 0
        try:
            data = read_all(self._path, _BODY.size + _CHECK.size) or b""
        except BrokenStorage as error:
            self._report(str(error))
            return 0
        body = data[: _BODY.size]
        if len(data) != _BODY.size + _CHECK.size or _CHECK.unpack_from(data, _BODY.size)[0] != crc32(body):
            self._report(f"{self._path}: damaged, and not needed while the clock runs forward: written anew")
            return 0
        _, ceiling = _BODY.unpack(body)
        return int(ceiling)

    def raise_to(self, ceiling: int) -> None:
        """Durable when it returns. A disk that fails is reported and no more: the log on it stops the replica."""
        body = _BODY.pack(_MAGIC, ceiling)
        fresh = self._path.with_name(self._path.name + ".temp")
        try:
            fd = open_new(fresh)
            try:
                write_all(fd, fresh, body + _CHECK.pack(crc32(body)))
                sync_file(fd, fresh)
            finally:
                close_quietly(fd)
            fresh.replace(self._path)
            sync_directory(self._path.parent)
        except BrokenStorage as error:
            self._report(str(error))
        except OSError as error:
            self._report(f"{self._path}: {error.strerror}")
