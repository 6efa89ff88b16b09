"""What was promised is never forgotten: not by a crash, and not when the log begins anew behind a checkpoint.

A replica must know every statement that still binds it after each restart; and a core made of the records that a new
log begins with must know them too, or the next crash would make it forget.
"""

from __future__ import annotations

from outvote.core.contract import Core, Record, Struct
from outvote.host.turn import Turn
from outvote.simulator.checkers.checker import Checker, Scene
from outvote.simulator.checkers.violation import Violation
from outvote.types import FIRST_CLIENT, Digest, PartyId, Position, ReplicaId

LOGS_BETWEEN = 4  # a look into the beginning of every fourth log of a replica


class Memory(Checker):
    """Whether a core is bound by a statement is the catalogue's to say."""

    invariants = ("forgotten promise",)
    covers = ("I7", "I9", "I12")
    when = "every restart, every 4th log begun anew, at the end"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._said: dict[ReplicaId, dict[tuple[int, ...], Struct]] = {}
        self._logs: dict[ReplicaId, int] = {}

    def said(self, party: PartyId, statement: Struct) -> None:
        if party < FIRST_CLIENT:
            key = statement.exclusive()
            if key is not None and party not in self.scene.liars:
                self._said.setdefault(party, {})[key] = statement

    def recovered(self, replica: ReplicaId, turn: Turn) -> None:
        self._ask(replica, turn.core, "after a restart")

    def renewed(self, replica: ReplicaId, position: Position, digest: Digest, records: list[Record]) -> None:
        logs = self._logs[replica] = self._logs.get(replica, 0) + 1
        if logs % LOGS_BETWEEN:
            return
        scene = self.scene
        core = scene.protocol.make(replica, scene.committee, scene.plan.parameters)
        core.restore(position, digest, records)
        self._ask(replica, core, f"in the log behind the checkpoint of position {position}")

    def finished(self) -> None:
        for turn in self.scene.turns():
            self._ask(turn.me, turn.core, "at the end")

    def _ask(self, replica: ReplicaId, core: Core, moment: str) -> None:
        remembers = self.scene.protocol.insight.remembers
        for statement in self._said.get(replica, {}).values():
            if not remembers(core, statement):
                raise Violation("forgotten promise", f"replica {replica} said {statement} and {moment} is not bound")
