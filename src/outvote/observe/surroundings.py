"""What a replica runs on and with, as words that are equal where a fault would be shared: for `outvote doctor`.

One replica's word about itself, like all of a Report: a liar says what it likes, and is one liar.
"""

from __future__ import annotations

import platform
import sys
import uuid
from hashlib import sha256
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path
from typing import Final

FILE_BYTES_MAX: Final = 4 << 20  # a source file; what is longer counts with its beginning
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_DIGITS: Final = 12  # of a digest


def surroundings(machine: type) -> dict[str, str]:
    """By kind of fault domain. `machine`: the replicated class."""
    return {
        "host": f"{platform.node()} {_boot()}"[:80],
        "kernel": f"{platform.system()} {platform.release()}"[:80],
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "outvote": source_digest(Path(__file__).parents[1]),
        "machine": f"{machine.__module__}:{machine.__qualname__} {_class_digest(machine)}"[:160],
    }


def is_compiled() -> bool:
    """Whether the modules on the way of an operation are C extensions here, made by compile_outvote.py: all or none."""
    turn = find_spec("outvote.host.turn")
    return turn is not None and (turn.origin or "").endswith(tuple(EXTENSION_SUFFIXES))


def source_digest(folder: Path) -> str:
    """Of all Python files below a folder: equal for equal installations."""
    total = sha256()
    for path in sorted(folder.rglob("*.py")):
        total.update(str(path.relative_to(folder)).encode() + b"\0" + _content(path))
    return total.hexdigest()[:_DIGITS]


def _class_digest(machine: type) -> str:
    file = getattr(sys.modules.get(machine.__module__), "__file__", None)
    return sha256(_content(Path(file))).hexdigest()[:_DIGITS] if file else "without a file"


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(FILE_BYTES_MAX)
    except OSError:
        return b""


def _boot() -> str:
    """One running kernel: containers of one machine share it, and replicas that share it fall together."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return f"{uuid.getnode():012x}"
