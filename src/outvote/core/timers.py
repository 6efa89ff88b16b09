"""Named deadlines over one `wake_at`. A stale timer cannot fire: it is no longer in the table."""

from __future__ import annotations

from outvote.types import NEVER, Nanos


class Timers:
    """A few names, each with one deadline at most."""

    __slots__ = ("_deadlines",)

    def __init__(self) -> None:
        self._deadlines: dict[str, Nanos] = {}

    def set(self, name: str, deadline: Nanos) -> None:
        self._deadlines[name] = deadline

    def cancel(self, name: str) -> None:
        self._deadlines.pop(name, None)

    def deadline(self, name: str) -> Nanos:
        return self._deadlines.get(name, NEVER)

    def due(self, now: Nanos) -> list[str]:
        """The names that are due, earliest first (ties by name), each forgotten."""
        names = sorted((at, name) for name, at in self._deadlines.items() if at <= now)
        for _, name in names:
            del self._deadlines[name]
        return [name for _, name in names]

    def next(self) -> Nanos:
        return min(self._deadlines.values(), default=NEVER)
