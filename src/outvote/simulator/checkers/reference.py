"""Correct results: what honest replicas answer is what the class gives when run once, alone, over the decided order.

A second executor, written apart from the real one: which requests run, when, with which agreed facts.
"""

from __future__ import annotations

from hashlib import sha256

import msgspec

from outvote.core.contract import Delivery, Request
from outvote.machines.contract import Context
from outvote.simulator.checkers.checker import Checker, Scene
from outvote.simulator.checkers.violation import Violation
from outvote.types import ClientId, Digest, Nanos, Position, ReplicaId
from outvote.wire.client_messages import OPERATIONS_MAX, OUTSTANDING_MAX, ReplyStatement


class Reference(Checker):
    """Runs each position when the first honest replica delivers it. Takes the machine's determinism for granted."""

    invariants = ("reference execution",)
    covers = ("I4", "I5", "I17")
    when = "the first delivery of each position"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._machine = scene.machine()
        self._position: Position = 0
        self._history: Digest = bytes(32)
        self._time: Nanos = 0
        self._luck: Digest = bytes(32)
        self._low: dict[ClientId, int] = {}
        self._done: set[tuple[ClientId, int]] = set()

    def delivered(
        self, replica: ReplicaId, delivery: Delivery, replies: list[ReplyStatement], history: Digest
    ) -> None:
        if delivery.position <= self._position:
            return
        if delivery.position != self._position + 1:
            raise Violation(
                "reference execution",
                f"replica {replica} delivers {delivery.position}, and nobody honest ever executed {self._position + 1}",
            )
        self._position = delivery.position
        self._time = max(self._time + 1, delivery.time)
        seals = [one.seal for one in delivery.requests if self._new(one)]
        if seals:  # in order of their bytes, behind all that ran before
            self._luck = sha256(self._luck + msgspec.msgpack.encode(sorted(seals))).digest()
        ran = [(one.client, one.number, self._run(one)) for one in delivery.requests if self._due(one)]
        self._history = sha256(self._history + msgspec.msgpack.encode((self._position, self._time, ran))).digest()
        told = [(one.client, one.number, one.results) for one in replies if one.position == self._position]
        # A request that stands twice in a batch runs once and is answered twice.
        if [one for index, one in enumerate(told) if one not in told[:index]] != ran or history != self._history:
            raise Violation(
                "reference execution",
                f"replica {replica} answers {told} at position {self._position}, and the class gives {ran}",
            )

    def _new(self, request: Request) -> bool:
        low = max(self._low.get(request.client, 0), min(request.acknowledged, request.number - 1))
        return low < request.number <= low + OUTSTANDING_MAX and request.key not in self._done

    def _due(self, request: Request) -> bool:
        """Exactly once, above what the client has settled, and not too far above it."""
        client, number = request.key
        low = max(self._low.get(client, 0), min(request.acknowledged, number - 1))
        if not self._new(request) or len(request.operations) > OPERATIONS_MAX:
            return False
        self._low[client] = low
        self._done.add(request.key)
        return True

    def _run(self, request: Request) -> tuple[bytes, ...]:
        seed = self._luck + request.client.to_bytes(8, "big") + request.number.to_bytes(8, "big")
        return tuple(
            self._machine.apply(
                operation, Context(self._position, self._time, request.client, seed + index.to_bytes(4, "big"))
            )
            for index, operation in enumerate(request.operations)
        )
