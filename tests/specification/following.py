"""A checker that holds a simulated run against the specification."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from outvote.core.contract import Delivery, Record, Struct
from outvote.protocols.catalogue import protocol
from outvote.protocols.pbft.records import Entered
from outvote.protocols.pbft.refinement import Refinement, Refused
from outvote.simulator.checkers.checker import Checker, Scene
from outvote.simulator.checkers.violation import Violation
from outvote.simulator.plan import Plan
from outvote.simulator.world import World
from outvote.types import Digest, PartyId, ReplicaId
from outvote.wire.client_messages import ReplyStatement


class FollowsSpecification(Checker):
    """What honest replicas say, believe and execute, as steps of the model."""

    invariants = ("refinement",)

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._liars = tuple(filter(scene.committee.holds, sorted(scene.liars)))
        self.refinement = Refinement(scene.committee, self._liars)

    def _follow(self, tell: Callable[..., None], *what: Any) -> None:
        for party in sorted(self.scene.liars):
            if self.scene.committee.holds(party) and party not in self._liars:
                self._liars += (party,)
                self.refinement.betray(party)
        try:
            tell(*what)
        except Refused as refused:
            raise Violation("refinement", str(refused)) from None

    def said(self, party: PartyId, statement: Struct) -> None:
        if self.scene.committee.holds(party) and party not in self.scene.liars:
            self._follow(self.refinement.says, party, statement)

    def recorded(self, replica: ReplicaId, record: Record) -> None:
        if isinstance(record, Entered):
            self._follow(self.refinement.enters, replica, record.message)

    def delivered(
        self, replica: ReplicaId, delivery: Delivery, replies: list[ReplyStatement], history: Digest
    ) -> None:
        content = self.scene.protocol.insight.content(delivery)
        self._follow(self.refinement.delivers, replica, delivery.position, content)


def follow(plan: Plan) -> tuple[int, dict[str, int]]:
    """Run a plan with no other checker than this; steps of the model, and the run's marks. Raises Violation."""
    world = World(plan, protocol("pbft"), checkers=(FollowsSpecification,))
    world.run()
    (found,) = (one for one in world.watch.checkers if isinstance(one, FollowsSpecification))
    return found.refinement.steps, world.marks
