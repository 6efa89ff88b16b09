"""Exactly-once: no request is executed at two positions, whatever its body says the second time."""

from __future__ import annotations

from outvote.core.contract import Delivery
from outvote.simulator.checkers.checker import Checker, Scene
from outvote.simulator.checkers.violation import Violation
from outvote.types import ClientId, Digest, Position, ReplicaId
from outvote.wire.client_messages import ReplyStatement


class ExactlyOnce(Checker):
    """Looks at executions as their replies tell of them."""

    invariants = ("exactly-once",)
    covers = ("I4",)
    when = "every delivery"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._executed: dict[tuple[ClientId, int], Position] = {}

    def delivered(
        self, replica: ReplicaId, delivery: Delivery, replies: list[ReplyStatement], history: Digest
    ) -> None:
        for reply in replies:
            key = reply.client, reply.number
            held = self._executed.setdefault(key, reply.position)
            if held != reply.position:
                raise Violation(
                    "exactly-once", f"replica {replica} says request {key} ran at {reply.position}, others at {held}"
                )
