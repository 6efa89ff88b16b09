"""Equal digests at equal positions: of the history after every delivery, of the whole state at checkpoints."""

from __future__ import annotations

from outvote.simulator.checkers.violation import Violation
from outvote.types import Digest, Position, ReplicaId


class Digests:
    """One value a position and kind, fixed by the first honest replica that tells it."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, Position], tuple[Digest, ReplicaId]] = {}

    def told(self, kind: str, replica: ReplicaId, position: Position, digest: Digest) -> None:
        held, first = self._held.setdefault((kind, position), (digest, replica))
        if held != digest:
            raise Violation(
                f"{kind} digest",
                f"at position {position} replica {replica} has {digest.hex()[:16]}, replica {first} {held.hex()[:16]}",
            )
