"""Calls as a person would write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

SHOWN_CHARACTERS_MAX: Final = 120


def spelled_call(name: str, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> str:
    """deposit('ann', amount=5)"""
    parts = [*map(repr, arguments), *(f"{key}={value!r}" for key, value in keywords.items())]
    return _cut(f"{name}({', '.join(parts)})")


def spelled_operation(operation: bytes) -> str:
    """The same of an encoded one."""
    name, arguments = msgspec.msgpack.decode(operation)
    return spelled_call(name, arguments, {})


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS_MAX else text[: SHOWN_CHARACTERS_MAX - 1] + "…"
