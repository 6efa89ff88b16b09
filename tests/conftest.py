"""Folders whose pieces and scripts serve other folders too: planted bugs must make scripts fail."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

for folder in (
    "papers", "attacks", "client", "protocols", "conformance", "specification", "crypto", "host", "machines", "wire",
    "core", "broadcast", "simulator", "../bench",
):
    path = str((Path(__file__).parent / folder).resolve())
    if path not in sys.path:
        sys.path.append(path)

pytest_plugins = ["pytester"]  # must stand in the topmost conftest; tests/testing runs pytest inside of tests


def pytest_collection_finish() -> None:
    """What was imported and collected is there to the end: the collector of cycles need not walk it again and again."""
    gc.collect()
    gc.freeze()
