"""A state is kept as stable, or taken over from others, only if enough replicas said that it is theirs.

Without that, what is forgotten behind it may be what a correct replica still needs (garbage collection), and what is
installed may be a liar's.
"""

from __future__ import annotations

from outvote.core.committee import Committee
from outvote.core.contract import Record, Struct
from outvote.simulator.checkers.checker import Checker, Scene
from outvote.simulator.checkers.eras import members_at
from outvote.simulator.checkers.violation import Violation
from outvote.types import Digest, PartyId, Position, ReplicaId


class StableStates(Checker):
    """Counts the members that really said it, not the seals that a replica holds."""

    invariants = ("stable state",)
    covers = ("I6", "I9")
    when = "every stable checkpoint kept, fetched states included"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._votes: dict[tuple[Position, Digest], set[PartyId]] = {}

    def said(self, party: PartyId, statement: Struct) -> None:
        vote = self.scene.protocol.insight.state_vote(statement)
        if vote is not None and self.scene.committee.holds(party):
            self._votes.setdefault(vote, set()).add(party)

    def renewed(self, replica: ReplicaId, position: Position, digest: Digest, records: list[Record]) -> None:
        members = members_at(self.scene, position)
        voters = self._votes.get((position, digest), set()).intersection(members)
        committee = Committee(len(members), self.scene.protocol.tolerates)
        in_all, honest = self.scene.protocol.insight.state_vouchers(committee)
        if len(voters) < in_all or len(voters - self.scene.liars) < honest:
            raise Violation(
                "stable state",
                f"replica {replica} keeps the state of position {position}, which {len(voters)} replicas vouch for"
                f" and {in_all} must, {honest} honest ones among them",
            )
