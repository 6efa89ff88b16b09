"""What was acknowledged stays: enough honest replicas hold it on their disks, and what one vouched for it still has.

An answer that a client took rests on final votes or stable states of so many honest replicas that every later quorum
meets one of them. And a replica that said "my state at this position is such" comes back from a crash at that
position or beyond: the others may have forgotten on its word how to get there.
"""

from __future__ import annotations

from outvote.core.contract import Record, Struct
from outvote.host.turn import Turn
from outvote.simulator.checkers.checker import Checker, Scene
from outvote.simulator.checkers.violation import Violation
from outvote.types import FIRST_CLIENT, ClientId, Digest, PartyId, Position, ReplicaId
from outvote.wire.client_messages import ReplyStatement


class Durability(Checker):
    """Final votes are durable when they are said (promises) and stay so (memory); this counts them."""

    invariants = ("durability", "vouched state lost")
    covers = ("I12",)
    when = "every answer that a client takes, every restart, when the world heals, at the end"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._voters: dict[Position, set[ReplicaId]] = {}
        self._kept: dict[ReplicaId, Position] = {}
        self._vouched: dict[ReplicaId, Position] = {}
        self._rotted: set[ReplicaId] = set()  # with a damaged state on their disks
        self._acknowledged: set[Position] = set()

    def said(self, party: PartyId, statement: Struct) -> None:
        if party >= FIRST_CLIENT or party in self.scene.liars:
            return
        insight = self.scene.protocol.insight
        vote = insight.final_vote(statement)
        if vote is not None:
            self._voters.setdefault(vote[0], set()).add(party)
            return
        state = insight.state_vote(statement)
        if state is not None:
            self._vouched[party] = max(self._vouched.get(party, 0), state[0])

    def read_back(self, replica: ReplicaId, position: Position, records: list[Record]) -> None:
        """What a disk holds counts, also of one that lied until now and was rejuvenated."""
        scene = self.scene
        self._kept[replica] = max(self._kept.get(replica, 0), position)
        for record in records:
            statement = scene.protocol.insight.entitles(record, replica, scene.committee)
            vote = None if statement is None else scene.protocol.insight.final_vote(statement)
            if vote is not None:
                self._voters.setdefault(vote[0], set()).add(replica)

    def kept(self, replica: ReplicaId, position: Position, digest: Digest) -> None:
        self._kept[replica] = max(self._kept.get(replica, 0), position)
        self._rotted.discard(replica)

    def state_rotted(self, replica: ReplicaId, position: Position) -> None:
        """What a disk loses by itself nobody vouches for: the replica fetches it again."""
        self._kept[replica] = position
        self._rotted.add(replica)

    def answered(self, client: ClientId, statement: ReplyStatement) -> None:
        if statement.position not in self._acknowledged:
            self._acknowledged.add(statement.position)
            self._count(statement.position)

    def recovered(self, replica: ReplicaId, turn: Turn) -> None:
        vouched = self._vouched.get(replica, 0)
        standing = turn.core.standing()
        if max(standing.position, standing.stable) < vouched and replica not in self._rotted:
            raise Violation(
                "vouched state lost",
                f"replica {replica} vouched for its state at {vouched} and came back at {standing.position}",
            )

    def healed(self) -> None:
        self._count_all()

    def finished(self) -> None:
        self._count_all()

    def _count_all(self) -> None:
        for position in sorted(self._acknowledged):
            self._count(position)

    def _count(self, position: Position) -> None:
        scene = self.scene
        if scene.protocol.insight.log is not None or not scene.protocol.insight.votes:
            return  # there what is durable is looked at itself, or there is nothing to count
        holders = {one for one, kept in self._kept.items() if kept >= position} | self._voters.get(position, set())
        honest = sum(1 for one in holders if one not in scene.liars)
        needed = scene.committee.quorum - sum(1 for one in scene.liars if one < FIRST_CLIENT)
        if honest < needed:
            raise Violation(
                "durability",
                f"a client was told of position {position}, which {honest} honest replicas hold and {needed} must",
            )
