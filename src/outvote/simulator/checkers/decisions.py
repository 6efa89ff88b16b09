"""Every position that an honest replica executes was voted for, finally and in one view, by a quorum of members.

Counted from what was really said, whatever the replica wrote down or believes: also where it took another's word.
"""

from __future__ import annotations

from outvote.core.contract import Delivery, Struct
from outvote.simulator.checkers.checker import Checker, Scene
from outvote.simulator.checkers.violation import Violation
from outvote.types import Digest, PartyId, Position, ReplicaId, View
from outvote.wire.client_messages import ReplyStatement


class Decisions(Checker):
    """Looks at the first delivery of each position; agreement binds the others to it."""

    invariants = ("decision",)
    covers = ("I6", "I13")
    when = "the first delivery of each position"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._votes: dict[tuple[Position, Digest], dict[View, set[PartyId]]] = {}
        self._judged: set[Position] = set()

    def said(self, party: PartyId, statement: Struct) -> None:
        vote = self.scene.protocol.insight.final_vote(statement)
        if vote is not None and self.scene.committee.holds(party):
            position, digest, view = vote
            self._votes.setdefault((position, digest), {}).setdefault(view, set()).add(party)

    def delivered(
        self, replica: ReplicaId, delivery: Delivery, replies: list[ReplyStatement], history: Digest
    ) -> None:
        insight = self.scene.protocol.insight
        if delivery.position in self._judged or insight.log is not None or not insight.votes:
            return
        self._judged.add(delivery.position)
        votes = self._votes.get((delivery.position, self.scene.protocol.insight.content(delivery)), {})
        most = max(map(len, votes.values()), default=0)
        if most < self.scene.committee.quorum:
            raise Violation(
                "decision",
                f"replica {replica} executed position {delivery.position}, for which {most} replicas voted in one view"
                f" and {self.scene.committee.quorum} are needed",
            )
