"""Folders whose pieces and scripts serve other folders too: planted bugs must make scripts fail."""

from __future__ import annotations

import sys
from pathlib import Path

for folder in ("papers", "attacks", "protocols"):
    path = str(Path(__file__).parent / folder)
    if path not in sys.path:
        sys.path.append(path)
