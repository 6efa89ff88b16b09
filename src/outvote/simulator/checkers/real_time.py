"""Real-time order of positions: what was asked for after an answer was taken stands behind that answer in the order.

So a client sees its own writes, and everybody's that it could have heard of, whatever the operations mean.
"""

from __future__ import annotations

from outvote.simulator.checkers.checker import Checker, Scene
from outvote.simulator.checkers.violation import Violation
from outvote.types import ClientId, Position
from outvote.wire.client_messages import ReplyStatement


class RealTime(Checker):
    """Knows nothing of the class that is replicated, unlike the check for linearizability."""

    invariants = ("real-time order",)
    covers = ("I15", "I16")
    when = "every answer and every read that a client takes"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._highest: Position = 0
        self._floors: dict[tuple[ClientId, int], Position] = {}

    def requested(self, client: ClientId, number: int, operations: tuple[bytes, ...]) -> None:
        self._floors[client, number] = self._highest

    def answered(self, client: ClientId, statement: ReplyStatement) -> None:
        floor = self._floors.get((client, statement.number))
        if floor is None:
            raise Violation("real-time order", f"client {client} took an answer to {statement.number}, never asked")
        if statement.position <= floor:
            raise Violation(
                "real-time order",
                f"request {statement.number} of client {client} ran at {statement.position}, though it was asked"
                f" after an answer of position {floor}",
            )
        self._highest = max(self._highest, statement.position)

    def reading(self, client: ClientId, number: int) -> None:
        self._floors[client, number] = self._highest

    def read(self, client: ClientId, statement: ReplyStatement) -> None:
        floor = self._floors[client, statement.number]
        if statement.position < floor:
            raise Violation(
                "real-time order",
                f"client {client} read the state of position {statement.position}, though it asked after an answer of"
                f" position {floor}",
            )
        self._highest = max(self._highest, statement.position)
