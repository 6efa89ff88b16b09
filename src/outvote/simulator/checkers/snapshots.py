"""Byte-identical states: what is written down, read back or fetched at one position is the same everywhere.

Bytes are compared, not digests: the digest is computed by the code under test.
"""

from __future__ import annotations

from hashlib import blake2b

from outvote.simulator.checkers.checker import Checker, Scene
from outvote.simulator.checkers.violation import Violation
from outvote.types import Position, ReplicaId


class Snapshots(Checker):
    """The machine, the client table, the agreed time and the history, as one."""

    invariants = ("snapshot bytes",)
    covers = ("I4", "I5")
    when = "every checkpoint, every state read back from a disk or fetched"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._held: dict[Position, tuple[bytes, ReplicaId]] = {}

    def imaged(self, replica: ReplicaId, position: Position, data: bytes) -> None:
        fingerprint = blake2b(data, digest_size=16).digest()
        held, first = self._held.setdefault(position, (fingerprint, replica))
        if held != fingerprint:
            raise Violation(
                "snapshot bytes", f"the states of position {position} differ between replicas {replica} and {first}"
            )
