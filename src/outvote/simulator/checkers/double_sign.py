"""No honest replica seals two statements that exclude each other, not even across crashes."""

from __future__ import annotations

from outvote.core.contract import Struct
from outvote.simulator.checkers.checker import Checker, Scene
from outvote.simulator.checkers.violation import Violation
from outvote.types import FIRST_CLIENT, PartyId


class DoubleSign(Checker):
    """Remembers for ever; a run is short."""

    invariants = ("double signature",)
    covers = ("I7",)
    when = "every statement that leaves a replica"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._said: dict[tuple[PartyId, tuple[int, ...]], Struct] = {}

    def said(self, party: PartyId, statement: Struct) -> None:
        key = statement.exclusive()
        if key is None or party in self.scene.liars or party >= FIRST_CLIENT:
            return
        held = self._said.setdefault((party, key), statement)
        if held != statement:
            raise Violation("double signature", f"replica {party} sealed {held} and {statement}")
