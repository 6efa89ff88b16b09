"""What a checker raises."""

from __future__ import annotations


class Violation(Exception):
    """An invariant is broken. `invariant` is its short name; the text says who, where and what."""

    def __init__(self, invariant: str, text: str) -> None:
        super().__init__(f"{invariant}: {text}")
        self.invariant = invariant
