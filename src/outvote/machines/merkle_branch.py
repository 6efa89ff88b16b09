"""What an inner node of a Merkle map holds."""

from __future__ import annotations

from typing import Any

import msgspec


class Branch(msgspec.Struct, frozen=True, gc=False):
    """What an inner node holds: one child for each bit of `bitmap`, lowest slot first."""

    bitmap: int
    children: tuple[Any, ...]  # of Node
