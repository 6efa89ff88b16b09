"""Where proposals are encrypted, an honest replica helps to open one only when the set that it belongs to is agreed on.

Else f liars, with one honest share, read what they can still see ordered, or not.
"""

from __future__ import annotations

from outvote.core.contract import Struct
from outvote.simulator.checkers.checker import Checker, Scene
from outvote.simulator.checkers.eras import members_at
from outvote.simulator.checkers.violation import Violation
from outvote.types import PartyId, Position, ReplicaId


class Secrecy(Checker):
    """Goes by what the replica itself has said of every proposal of that place: in or out."""

    invariants = ("secrecy",)
    covers = ("I14",)
    when = "every share of a decryption said"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._decided: dict[tuple[PartyId, Position], dict[ReplicaId, bool]] = {}

    def said(self, party: PartyId, statement: Struct) -> None:
        secrets = self.scene.protocol.insight.secrets
        if secrets is None or party in self.scene.liars:
            return
        decided = secrets.decides(statement)
        if decided is not None:
            place, proposer, accepted = decided
            self._decided.setdefault((party, place), {})[proposer] = accepted
        opened = secrets.opens(statement)
        if opened is not None:
            place, proposer = opened
            known = self._decided.get((party, place), {})
            members = len(members_at(self.scene, place))
            if len(known) < members or not known[proposer]:
                raise Violation(
                    "secrecy",
                    f"replica {party} helps to open the proposal of {proposer} in epoch {place}, and has said of"
                    f" {len(known)} of {members} whether they are in",
                )
