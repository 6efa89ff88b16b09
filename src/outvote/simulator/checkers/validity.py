"""Validity: what is executed was really sealed by the client that it names, body and number as they stand."""

from __future__ import annotations

from outvote.core.contract import Delivery
from outvote.simulator.checkers.checker import Checker
from outvote.simulator.checkers.violation import Violation
from outvote.types import Digest, ReplicaId
from outvote.wire.client_messages import ReplyStatement


class Validity(Checker):
    """Asks the registry of all seals ever made, so that a forged request is caught even if every replica takes it."""

    invariants = ("validity",)
    covers = ("I3",)
    when = "every delivery"

    def delivered(
        self, replica: ReplicaId, delivery: Delivery, replies: list[ReplyStatement], history: Digest
    ) -> None:
        for request in delivery.requests:
            if not self.scene.registry.opens(request.claim()):
                raise Violation(
                    "validity", f"replica {replica} executed at {delivery.position} what {request.key} never sent"
                )
