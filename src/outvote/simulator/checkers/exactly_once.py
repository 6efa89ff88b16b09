"""Validity and exactly-once: what is executed was sent by its client, and executed at one position only."""

from __future__ import annotations

from outvote.core.contract import Delivery
from outvote.simulator.checkers.violation import Violation
from outvote.types import ClientId, Position, ReplicaId
from outvote.wire.client_messages import ReplyStatement


class ExactlyOnce:
    """Looks at executions as their replies tell of them."""

    def __init__(self) -> None:
        self._sent: dict[tuple[ClientId, int], tuple[bytes, ...]] = {}
        self._executed: dict[tuple[ClientId, int], Position] = {}

    def sent(self, client: ClientId, number: int, operations: tuple[bytes, ...]) -> None:
        """An honest client sealed this request."""
        self._sent[client, number] = operations

    def executed(self, replica: ReplicaId, delivery: Delivery, replies: list[ReplyStatement]) -> None:
        for request in delivery.requests:
            sent = self._sent.get(request.key)
            if sent != request.operations:
                raise Violation(
                    "validity", f"replica {replica} executed at {delivery.position} what {request.key} never sent"
                )
        for reply in replies:
            key = reply.client, reply.number
            held = self._executed.setdefault(key, reply.position)
            if held != reply.position:
                raise Violation(
                    "exactly-once", f"replica {replica} says request {key} ran at {reply.position}, others at {held}"
                )
