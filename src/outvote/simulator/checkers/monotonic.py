"""Views, stable positions, executed positions, the agreed time and clients' settled numbers never go back.

Restarts included, as far as it was durable; and the agreed time of a position is one for all.
"""

from __future__ import annotations

from outvote.core.contract import Record
from outvote.host.turn import Turn
from outvote.machines.executor import Executor
from outvote.simulator.checkers.checker import Checker, Scene
from outvote.simulator.checkers.violation import Violation
from outvote.types import ClientId, Digest, Nanos, Position, ReplicaId, View


class Monotonic(Checker):
    """Remembers the highest that was seen of each replica, and the time and low marks of each position."""

    invariants = ("monotonic", "agreed time")
    covers = ("I8",)
    when = "every turn, every delivery, every restart"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._seen: dict[ReplicaId, tuple[View, Position]] = {}
        self._kept: dict[ReplicaId, list[Position]] = {}
        self._times: dict[Position, Nanos] = {0: 0}
        self._marks: dict[ReplicaId, dict[ClientId, int]] = {}

    def turned(self, replica: ReplicaId, turn: Turn, promised: bool) -> None:
        standing = turn.core.standing()
        view, stable = self._seen.get(replica, (0, 0))
        if standing.view < view:
            raise Violation("monotonic", f"replica {replica} went back from view {view} to {standing.view}")
        if standing.stable < stable:
            raise Violation("monotonic", f"replica {replica} went back from checkpoint {stable} to {standing.stable}")
        if promised:
            self._seen[replica] = (standing.view, standing.stable)

    def kept(self, replica: ReplicaId, position: Position, digest: Digest) -> None:
        kept = self._kept.setdefault(replica, [0])
        if position <= kept[-1]:
            raise Violation("monotonic", f"replica {replica} keeps {position} after {kept[-1]}")
        kept.append(position)

    def read_back(self, replica: ReplicaId, position: Position, records: list[Record]) -> None:
        kept = self._kept.setdefault(replica, [0])
        if position != kept[-1]:
            raise Violation("monotonic", f"replica {replica} kept {kept} and reads {position} back")
        self._marks.pop(replica, None)

    def state_rotted(self, replica: ReplicaId, position: Position) -> None:
        """An older state and the longer log behind it are as good."""
        self._kept[replica] = [one for one in self._kept.get(replica, [0]) if one < position] + [position]

    def executed(self, replica: ReplicaId, executor: Executor) -> None:
        position, time = executor.position, executor.time
        if self._times.setdefault(position, time) != time:
            raise Violation(
                "agreed time", f"at position {position} replica {replica} has {time}, others {self._times[position]}"
            )
        if time <= self._times.get(position - 1, -1):
            raise Violation("agreed time", f"at position {position} replica {replica} went back to {time}")
        marks = executor.low_marks()
        for client, low in self._marks.get(replica, {}).items():
            if marks.get(client, 0) < low:
                raise Violation(
                    "monotonic", f"replica {replica}: client {client}'s settled numbers went back from {low}"
                )
        self._marks[replica] = marks
