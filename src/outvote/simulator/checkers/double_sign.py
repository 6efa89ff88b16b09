"""No honest replica seals two statements that exclude each other, not even across crashes."""

from __future__ import annotations

from outvote.core.contract import Struct
from outvote.simulator.checkers.violation import Violation
from outvote.types import PartyId


class DoubleSign:
    """Remembers for ever; a run is short."""

    def __init__(self, liars: frozenset[PartyId]) -> None:
        self._liars = liars
        self._sealed: dict[tuple[PartyId, tuple[int, ...]], Struct] = {}

    def sealed(self, party: PartyId, statement: Struct) -> None:
        key = statement.exclusive()
        if key is None or party in self._liars:
            return
        held = self._sealed.setdefault((party, key), statement)
        if held != statement:
            raise Violation("double signature", f"replica {party} sealed {held} and {statement}")
