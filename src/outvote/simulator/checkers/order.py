"""Agreement and prefix order: one batch a position, on all honest replicas, before and after every crash."""

from __future__ import annotations

from outvote.core.contract import Delivery
from outvote.simulator.checkers.violation import Violation
from outvote.types import ClientId, Nanos, Position, ReplicaId

Content = tuple[Nanos, tuple[tuple[ClientId, int, tuple[bytes, ...]], ...]]


def content_of(delivery: Delivery) -> Content:
    return delivery.time, tuple((one.client, one.number, one.operations) for one in delivery.requests)


class Order:
    """The first honest replica to deliver a position fixes it for all."""

    def __init__(self) -> None:
        self.decided: dict[Position, Content] = {}
        self._last: dict[ReplicaId, Position] = {}

    def restarted(self, replica: ReplicaId, position: Position) -> None:
        """The replica's state is now the one at `position`, from its disk or from others."""
        self._last[replica] = position

    def delivered(self, replica: ReplicaId, delivery: Delivery) -> None:
        last = self._last.get(replica, 0)
        if delivery.position != last + 1:
            raise Violation("prefix order", f"replica {replica} delivered {delivery.position} after {last}")
        self._last[replica] = delivery.position
        content = content_of(delivery)
        held = self.decided.setdefault(delivery.position, content)
        if held != content:
            raise Violation(
                "agreement", f"position {delivery.position}: replica {replica} delivered {content}, others {held}"
            )
