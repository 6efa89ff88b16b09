"""One answer a request: the same position and results from every honest replica, and that is what clients take.

The answers come from the client table, which is part of the state; a client that takes another answer, or one that
too few replicas gave, was lied to.
"""

from __future__ import annotations

from outvote.core.contract import Delivery, Struct
from outvote.simulator.checkers.checker import Checker, Scene
from outvote.simulator.checkers.violation import Violation
from outvote.types import FIRST_CLIENT, ClientId, Digest, PartyId, Position, ReplicaId
from outvote.wire.client_messages import Reply, ReplyStatement, digest_of_results

Said = tuple[Position, Digest]


class ReplyTable(Checker):
    """The first honest replica to execute a request fixes its answer."""

    invariants = ("reply table", "correct reply")
    covers = ("I4", "I17")
    when = "every delivery, every reply that leaves a replica, every answer that a client takes"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._answers: dict[tuple[ClientId, int], tuple[ReplyStatement, ReplicaId]] = {}
        self._sayers: dict[tuple[ClientId, int], dict[Said, set[PartyId]]] = {}
        self._tentative: dict[tuple[ClientId, int], dict[Said, set[PartyId]]] = {}

    def delivered(
        self, replica: ReplicaId, delivery: Delivery, replies: list[ReplyStatement], history: Digest
    ) -> None:
        for reply in replies:
            self._told(replica, reply)

    def said(self, party: PartyId, statement: Struct) -> None:
        """A sealed answer, or a reply that carries no seal: whole or as a digest, for good or tentatively."""
        if party >= FIRST_CLIENT or not isinstance(statement, Reply | ReplyStatement):
            return
        answer = statement.answer if isinstance(statement, Reply) else statement
        tentative = isinstance(statement, Reply) and statement.tentative
        digest = (isinstance(statement, Reply) and statement.digest) or digest_of_results(answer.results)
        key = answer.client, answer.number
        sayers = self._tentative if tentative else self._sayers
        sayers.setdefault(key, {}).setdefault((answer.position, digest), set()).add(party)
        if tentative or party in self.scene.liars:
            return
        held = self._answers.get(key)
        if held is None:
            raise Violation("reply table", f"replica {party} answers request {key}, which nobody has executed")
        if (answer.position, digest) != (held[0].position, digest_of_results(held[0].results)):
            raise Violation("reply table", f"replica {party} answers {answer}, replica {held[1]} {held[0]}")

    def answered(self, client: ClientId, statement: ReplyStatement) -> None:
        key = statement.client, statement.number
        held = self._answers.get(key)
        said = statement.position, digest_of_results(statement.results)
        finally_said = self._sayers.get(key, {}).get(said, set())
        sayers = finally_said | self._tentative.get(key, {}).get(said, set())
        if held is None and len(sayers) >= self.scene.committee.quorum:
            # Prepared at f + 1 honest replicas: whoever commits it must come to this answer.
            held = self._answers[key] = statement, min(sayers)
        if statement.client != client or held is None or held[0] != statement:
            computed = "nobody computed one" if held is None else f"honest replicas computed {held[0]}"
            raise Violation("correct reply", f"client {client} took {statement}, and {computed}")
        if len(finally_said) < self.scene.committee.weak and len(sayers) < self.scene.committee.quorum:
            raise Violation(
                "correct reply",
                f"client {client} took what {len(finally_said)} replicas said, {self.scene.committee.weak} must"
                f" (or a quorum tentatively, and {len(sayers)} did): {statement}",
            )

    def _told(self, replica: ReplicaId, reply: ReplyStatement) -> None:
        held, first = self._answers.setdefault((reply.client, reply.number), (reply, replica))
        if held != reply:
            raise Violation("reply table", f"replica {replica} answers {reply}, replica {first} {held}")
