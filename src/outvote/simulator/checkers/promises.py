"""No promise without its ground: what binds an honest replica stands on a record of its own that is durable by then.

So a vote without a proposal, a COMMIT without a certificate and a message that overtakes the sync are all one thing.
And what it promises never goes back to a view that it left.
"""

from __future__ import annotations

from outvote.core.contract import Record, Struct
from outvote.simulator.checkers.checker import Checker, Scene
from outvote.simulator.checkers.violation import Violation
from outvote.storage.contract import Ticket
from outvote.types import FIRST_CLIENT, PartyId, Position, ReplicaId, View

Key = tuple[int, ...]  # as `Struct.exclusive` gives it


class Promises(Checker):
    """Which record entitles to what is the catalogue's; tickets are the disk's."""

    invariants = ("promise without a record", "promise before its record is durable", "promise in a view left")
    covers = ("I7", "I8")
    when = "every statement that leaves a replica"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._entitled: dict[ReplicaId, dict[Key, tuple[Struct, Ticket]]] = {}
        self._fresh: dict[ReplicaId, list[Struct]] = {}  # recorded, and the ticket is not known yet
        self._view: dict[ReplicaId, View] = {}

    def read_back(self, replica: ReplicaId, position: Position, records: list[Record]) -> None:
        self._entitled[replica] = {}
        self._fresh[replica] = []
        for record in records:
            self.recorded(replica, record)
        self.written(replica, 0)

    def recorded(self, replica: ReplicaId, record: Record) -> None:
        statement = self.scene.protocol.insight.entitles(record, replica, self.scene.committee)
        if statement is not None:
            self._fresh[replica].append(statement)

    def written(self, replica: ReplicaId, ticket: Ticket) -> None:
        fresh = self._fresh[replica]
        if fresh:
            entitled = self._entitled[replica]
            for statement in fresh:
                key = statement.exclusive()
                if key is not None and entitled.get(key, (None, 0))[0] != statement:  # once is enough
                    entitled[key] = statement, ticket
            fresh.clear()

    def said(self, party: PartyId, statement: Struct) -> None:
        if party >= FIRST_CLIENT or party in self.scene.liars:
            return
        key = statement.exclusive()
        if key is None:
            return
        ground = self._entitled[party].get(key)
        if ground is None or ground[0] != statement:
            other = "" if ground is None else f"; it recorded {ground[0]}"
            raise Violation("promise without a record", f"replica {party} says {statement}{other}")
        if ground[1] > self.scene.durable(party):
            raise Violation("promise before its record is durable", f"replica {party} says {statement}")
        view = getattr(statement, "view", 0)
        if view < self._view.get(party, 0):
            raise Violation(
                "promise in a view left", f"replica {party}, which spoke in view {self._view[party]}, says {statement}"
            )
        self._view[party] = view
