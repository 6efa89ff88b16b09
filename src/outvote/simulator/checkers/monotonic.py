"""Views and stable positions never go back, restarts included."""

from __future__ import annotations

from outvote.core.contract import Standing
from outvote.simulator.checkers.violation import Violation
from outvote.types import Position, ReplicaId, View


class Monotonic:
    def __init__(self) -> None:
        self._seen: dict[ReplicaId, tuple[View, Position]] = {}

    def stands(self, replica: ReplicaId, standing: Standing, promised: bool) -> None:
        """`promised` is False while anything is not synced: what the replica decided may yet be forgotten."""
        view, stable = self._seen.get(replica, (0, 0))
        if standing.view < view:
            raise Violation("monotonic", f"replica {replica} went back from view {view} to {standing.view}")
        if standing.stable < stable:
            raise Violation("monotonic", f"replica {replica} went back from checkpoint {stable} to {standing.stable}")
        if promised:
            self._seen[replica] = (standing.view, standing.stable)
