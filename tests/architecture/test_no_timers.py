"""HoneyBadgerBFT assumes nothing of time: no timer, no deadline and no clock anywhere in it or in its components."""

from __future__ import annotations

import ast
from typing import Final

import pytest
from source_tree import Source, package_sources, planted

TIMELESS: Final = ("broadcast", "protocols.honeybadger")
CLOCKS: Final = frozenset(("now", "wake_at", "timers", "deadline", "timeout", "timeout_ns", "sleep"))


def timer_violations(source: Source) -> list[str]:
    """Names and attributes that stand for time passing; `wall` may be read, since what it says is agreed on."""
    found = []
    for node in ast.walk(source.tree):
        name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else None
        if name in CLOCKS:
            found.append(f"{source.module}:{node.lineno} uses {name}")  # type: ignore[attr-defined]
        if isinstance(node, ast.ImportFrom) and node.module is not None and node.module.endswith(("timers", "time")):
            found.append(f"{source.module}:{node.lineno} imports {node.module}")
    return found


def timeless(source: Source) -> bool:
    return any(source.module == one or source.module.startswith(one + ".") for one in TIMELESS)


def test_no_timer() -> None:
    looked_at = [one for one in package_sources() if timeless(one)]
    assert len(looked_at) > len(TIMELESS)
    assert [found for one in looked_at for found in timer_violations(one)] == []


@pytest.mark.parametrize(
    "text",
    ["from outvote.core.timers import Timers", "self.wake_at = 5", "if self.now > 1:\n    pass", "timers.set('a', 1)"],
)
def test_a_planted_timer_is_found(text: str) -> None:
    assert timer_violations(planted("broadcast.coin", text))
