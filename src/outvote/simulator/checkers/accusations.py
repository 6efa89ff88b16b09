"""Evidence is what it says: it convinces a stranger by itself, and every equivocation that reaches somebody yields it.

Two statements that exclude each other, both under seals that one honest replica found genuine, make that replica
hold evidence before its turn is over - if it could still remember the first one.
"""

from __future__ import annotations

from outvote.core.contract import Claim, Struct
from outvote.host.turn import Turn
from outvote.host.witness import STATEMENTS_MAX_EACH
from outvote.simulator.checkers.checker import Checker, Claimed, Scene
from outvote.simulator.checkers.violation import Violation
from outvote.types import FIRST_CLIENT, PartyId, ReplicaId


class Accusations(Checker):
    """Keeps for each replica what it verified since its last start, as far back as a witness promises to."""

    invariants = ("evidence holds", "evidence is complete")
    covers = ("I10",)
    when = "every seal that a replica finds genuine, every accusation, every turn"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._verified: dict[ReplicaId, dict[PartyId, dict[tuple[int, ...], Struct]]] = {}
        self._due: dict[ReplicaId, dict[PartyId, str]] = {}
        self._accused: dict[ReplicaId, set[PartyId]] = {}

    def started(self, replica: ReplicaId) -> None:
        """A witness lives in memory: it begins anew with its process."""
        self._verified[replica] = {}
        self._due[replica] = {}
        self._accused[replica] = set()

    def verified(self, replica: ReplicaId, claim: Claim) -> None:
        signer, statement, _ = claim
        if signer >= FIRST_CLIENT:
            return
        key = statement.exclusive()
        if key is None:
            return
        seen = self._verified[replica].setdefault(signer, {})
        held = seen.get(key)
        if held is None:
            seen[key] = statement
            if len(seen) > STATEMENTS_MAX_EACH:
                del seen[next(iter(seen))]
        elif held is not statement and held != statement and signer not in self._accused[replica]:
            self._due[replica][signer] = f"{held} and {statement}"

    def accused(self, replica: ReplicaId, party: PartyId, first: Claimed, second: Claimed) -> None:
        self._due[replica].pop(party, None)
        self._accused[replica].add(party)
        registry = self.scene.registry
        key = first[0].exclusive()
        if key is None or key != second[0].exclusive() or first[0] == second[0]:
            raise Violation("evidence holds", f"{first[0]} and {second[0]} do not exclude each other")
        for statement, seal in (first, second):
            if not registry.opens(Claim(party, statement, seal)):
                raise Violation("evidence holds", f"the evidence against {party} has a seal that is not its own")

    def turned(self, replica: ReplicaId, turn: Turn, promised: bool) -> None:
        due = self._due[replica]
        if due:
            party, what = next(iter(due.items()))
            raise Violation("evidence is complete", f"replica {replica} verified {what} of {party} and says nothing")
