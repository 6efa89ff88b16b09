"""Agreement and prefix order: one batch a position, on all honest replicas, before and after every crash."""

from __future__ import annotations

from outvote.core.contract import Delivery
from outvote.simulator.checkers.checker import Checker, Scene
from outvote.simulator.checkers.violation import Violation
from outvote.types import ClientId, Digest, Nanos, Position, ReplicaId
from outvote.wire.client_messages import ReplyStatement

Content = tuple[Nanos, tuple[tuple[ClientId, int, tuple[bytes, ...]], ...]]


def content_of(delivery: Delivery) -> Content:
    return delivery.time, tuple((one.client, one.number, one.operations) for one in delivery.requests)


class Order(Checker):
    """The first honest replica to deliver a position fixes it for all."""

    invariants = ("agreement", "prefix order")
    covers = ("I1", "I2")
    when = "every delivery"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.decided: dict[Position, Content] = {}
        self._last: dict[ReplicaId, Position] = {}

    def started(self, replica: ReplicaId) -> None:
        self._last[replica] = 0

    def installed(self, replica: ReplicaId, position: Position, history: Digest, from_disk: bool) -> None:
        self._last[replica] = position

    def delivered(
        self, replica: ReplicaId, delivery: Delivery, replies: list[ReplyStatement], history: Digest
    ) -> None:
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
