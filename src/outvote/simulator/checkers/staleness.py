"""How old a state is, said truly: from the position that a replica names on, it holds all that was answered by then.

What protocols say that let one replica answer from a state that may be a little old, and tell its age.
"""

from __future__ import annotations

from outvote.host.turn import Turn
from outvote.simulator.checkers.checker import Checker, Scene
from outvote.simulator.checkers.violation import Violation
from outvote.types import ClientId, Nanos, Position, ReplicaId
from outvote.wire.client_messages import ReplyStatement


class Staleness(Checker):
    """Remembers for each replica what had been answered when its clock, at the end of a turn, showed what."""

    invariants = ("stale read",)
    covers = ("I16",)
    when = "every turn after which a replica knows its state to be newer; Raft only"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._answered: Position = 0
        self._then: dict[ReplicaId, dict[Nanos, Position]] = {}
        self._known: dict[ReplicaId, tuple[Position, Nanos] | None] = {}

    def answered(self, client: ClientId, statement: ReplyStatement) -> None:
        self._answered = max(self._answered, statement.position)

    def read(self, client: ClientId, statement: ReplyStatement) -> None:
        self._answered = max(self._answered, statement.position)

    def started(self, replica: ReplicaId) -> None:
        self._then[replica] = {}
        self._known[replica] = None

    def turned(self, replica: ReplicaId, turn: Turn, promised: bool) -> None:
        if self.scene.protocol.insight.log is None:
            return
        core, then = turn.core, self._then[replica]
        then.setdefault(core.now, self._answered)
        if core.known_at is None or core.known_at == self._known[replica]:
            return
        self._known[replica] = core.known_at
        position, moment = core.known_at
        floor = max((answered for at, answered in then.items() if at <= moment), default=0)
        if position < floor:
            raise Violation(
                "stale read",
                f"replica {replica} says of position {position} that it holds all that was answered before {moment},"
                f" and {floor} was",
            )
        self._then[replica] = {at: answered for at, answered in then.items() if at >= moment}
