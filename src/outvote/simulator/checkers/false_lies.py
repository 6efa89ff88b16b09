"""Only liars are heard lying: a correct party says nothing that another must drop, or convict it for."""

from __future__ import annotations

from outvote.simulator.checkers.checker import Checker, Claimed
from outvote.simulator.checkers.violation import Violation
from outvote.types import PartyId, ReplicaId


class FalseLies(Checker):
    """Of liars anything may be believed, so only honest parties are looked at."""

    invariants = ("no false lies", "evidence")
    covers = ("I10",)
    when = "everything dropped as a lie"

    def took_for_lie(self, replica: ReplicaId, party: PartyId, kind: str, text: str) -> None:
        if party not in self.scene.liars:
            raise Violation("no false lies", f"replica {replica} took for a lie of honest {party}: {text}")

    def accused(self, replica: ReplicaId, party: PartyId, first: Claimed, second: Claimed) -> None:
        if party not in self.scene.liars:
            raise Violation("evidence", f"honest replica {party} was convicted by {first[0]} and {second[0]}")
