"""Bounded memory: nothing that a stranger can make grow is ever over its limit, whatever arrives."""

from __future__ import annotations

from outvote.host.turn import Turn
from outvote.simulator.checkers.checker import Checker, Scene
from outvote.simulator.checkers.violation import Violation
from outvote.types import ReplicaId

TURNS_BETWEEN = 16  # what grows without a limit is over it for good


class Bounds(Checker):
    """Asks the turn and the core how much they hold; each names its limits beside."""

    invariants = ("bounded memory",)
    covers = ("I11",)
    when = "every 16th turn of a replica, when the world heals, at the end"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._turns: dict[ReplicaId, int] = {}

    def turned(self, replica: ReplicaId, turn: Turn, promised: bool) -> None:
        turns = self._turns[replica] = self._turns.get(replica, 0) + 1
        if turns % TURNS_BETWEEN == 0:
            self._measure(turn)

    def healed(self) -> None:
        for turn in self.scene.turns():
            self._measure(turn)

    def finished(self) -> None:
        for turn in self.scene.turns():
            self._measure(turn)

    def _measure(self, turn: Turn) -> None:
        for what, size, limit in (*turn.sizes(), *self.scene.protocol.insight.sizes(turn.core)):
            if size > limit:
                raise Violation("bounded memory", f"replica {turn.me} holds {size} {what}, and the limit is {limit}")
