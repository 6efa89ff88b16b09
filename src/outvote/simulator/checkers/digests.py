"""Equal digests at equal positions: of the history after every delivery, of the whole state at checkpoints."""

from __future__ import annotations

from outvote.core.contract import Delivery
from outvote.simulator.checkers.checker import Checker, Scene
from outvote.simulator.checkers.violation import Violation
from outvote.types import Digest, Position, ReplicaId
from outvote.wire.client_messages import ReplyStatement


class Digests(Checker):
    """One value a position and kind, fixed by the first honest replica that tells it."""

    invariants = ("history digest", "state digest")
    covers = ("I5",)
    when = "every delivery, checkpoint and installed state"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._held: dict[tuple[str, Position], tuple[Digest, ReplicaId]] = {}

    def delivered(
        self, replica: ReplicaId, delivery: Delivery, replies: list[ReplyStatement], history: Digest
    ) -> None:
        self._told("history", replica, delivery.position, history)

    def installed(self, replica: ReplicaId, position: Position, history: Digest, from_disk: bool) -> None:
        self._told("history", replica, position, history)

    def checkpointed(self, replica: ReplicaId, position: Position, digest: Digest) -> None:
        self._told("state", replica, position, digest)

    def _told(self, kind: str, replica: ReplicaId, position: Position, digest: Digest) -> None:
        held, first = self._held.setdefault((kind, position), (digest, replica))
        if held != digest:
            raise Violation(
                f"{kind} digest",
                f"at position {position} replica {replica} has {digest.hex()[:16]}, replica {first} {held.hex()[:16]}",
            )
