"""Members are the same everywhere, and change only if a quorum of the owners of those before wished so.

What the members of an epoch are other checkers ask here.
"""

from __future__ import annotations

from outvote.core.contract import Record
from outvote.core.quorums import quorum
from outvote.host.turn import Turn
from outvote.protocols.catalogue import EraOfMembers
from outvote.simulator.checkers.checker import Checker, Scene
from outvote.simulator.checkers.violation import Violation
from outvote.types import Position, ReplicaId


class Eras(Checker):
    """Goes by what honest replicas wrote down as their owners' wishes, and counts every liar's as given."""

    invariants = ("one membership", "change without a quorum")
    covers = ("I13",)
    when = "every turn, every restart; protocols whose members change"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._known: dict[int, EraOfMembers] = {}
        self._wishes: dict[tuple[int, tuple[ReplicaId, ...]], set[ReplicaId]] = {}
        self._seen: dict[ReplicaId, int] = {}

    def recorded(self, replica: ReplicaId, record: Record) -> None:
        insight = self.scene.protocol.insight.members
        wished = None if insight is None else insight.wished(record)
        if wished is not None:
            self._wishes.setdefault(wished, set()).add(replica)

    def turned(self, replica: ReplicaId, turn: Turn, promised: bool) -> None:
        self._look(turn)

    def recovered(self, replica: ReplicaId, turn: Turn) -> None:
        self._seen.pop(replica, None)
        self._look(turn)

    def _look(self, turn: Turn) -> None:
        insight = self.scene.protocol.insight.members
        if insight is None:
            return
        eras = insight.eras(turn.core)
        if self._seen.get(turn.me) == len(eras):
            return
        self._seen[turn.me] = len(eras)
        for era in eras:
            known = self._known.get(era.number)
            if known is None:
                self._known[era.number] = era
                self._judge(era)
            elif known != era:
                raise Violation("one membership", f"replica {turn.me} has {era}, and others have {known}")

    def _judge(self, era: EraOfMembers) -> None:
        before = self._known.get(era.number - 1)
        if before is None:
            return
        self.scene.mark("changes of members", 1)
        wishing = self._wishes.get((before.number, era.members), set()) | self.scene.liars
        count = sum(1 for one in before.members if one in wishing)
        if count < quorum(len(before.members)):
            raise Violation(
                "change without a quorum",
                f"members are {era.members} from epoch {era.first} on; of those before, {before.members}, {count}"
                " can have wished so",
            )


def members_at(scene: Scene, position: Position) -> tuple[ReplicaId, ...]:
    """Of that epoch, as the honest replica knows that knows most; all, where members never change."""
    insight, members, latest = scene.protocol.insight.members, tuple(range(scene.committee.n)), 0
    if insight is not None:
        for turn in scene.turns():
            for era in insight.eras(turn.core):
                if latest < era.first <= position:
                    members, latest = era.members, era.first
    return members
