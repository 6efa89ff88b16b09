"""One answer a request: the same position and results from every honest replica, and that is what clients take.

The answers come from the client table, which is part of the state; a client that takes another answer, or one that
too few replicas gave, was lied to.
"""

from __future__ import annotations

from outvote.core.contract import Delivery, Struct
from outvote.simulator.checkers.checker import Checker, Scene
from outvote.simulator.checkers.violation import Violation
from outvote.types import FIRST_CLIENT, ClientId, Digest, PartyId, ReplicaId
from outvote.wire.client_messages import ReplyStatement


class ReplyTable(Checker):
    """The first honest replica to execute a request fixes its answer."""

    invariants = ("reply table", "correct reply")
    covers = ("I4", "I17")
    when = "every delivery, every reply that leaves a replica, every answer that a client takes"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._answers: dict[tuple[ClientId, int], tuple[ReplyStatement, ReplicaId]] = {}
        self._sayers: dict[tuple[ClientId, int], list[tuple[PartyId, ReplyStatement]]] = {}

    def delivered(
        self, replica: ReplicaId, delivery: Delivery, replies: list[ReplyStatement], history: Digest
    ) -> None:
        for reply in replies:
            self._told(replica, reply)

    def said(self, party: PartyId, statement: Struct) -> None:
        if not isinstance(statement, ReplyStatement) or party >= FIRST_CLIENT:
            return
        key = statement.client, statement.number
        self._sayers.setdefault(key, []).append((party, statement))
        if party not in self.scene.liars:
            if key not in self._answers:
                raise Violation("reply table", f"replica {party} answers request {key}, which nobody has executed")
            self._told(party, statement)

    def answered(self, client: ClientId, statement: ReplyStatement) -> None:
        key = statement.client, statement.number
        held = self._answers.get(key)
        if statement.client != client or held is None or held[0] != statement:
            computed = "nobody computed one" if held is None else f"honest replicas computed {held[0]}"
            raise Violation("correct reply", f"client {client} took {statement}, and {computed}")
        sayers = {party for party, said in self._sayers.get(key, ()) if said == statement}
        if len(sayers) < self.scene.committee.weak:
            raise Violation(
                "correct reply",
                f"client {client} took what {len(sayers)} replicas said, {self.scene.committee.weak} must: {statement}",
            )

    def _told(self, replica: ReplicaId, reply: ReplyStatement) -> None:
        held, first = self._answers.setdefault((reply.client, reply.number), (reply, replica))
        if held != reply:
            raise Violation("reply table", f"replica {replica} answers {reply}, replica {first} {held}")
