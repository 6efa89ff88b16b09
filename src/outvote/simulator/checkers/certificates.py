"""Every certificate that an honest replica relies on has enough different signers who really said exactly that.

Looked at are the records it writes, and now and then all that its core holds: what it acts on without recording it.
"""

from __future__ import annotations

from outvote.core.contract import Claim, Record
from outvote.host.turn import Turn
from outvote.simulator.checkers.checker import Checker, Scene
from outvote.simulator.checkers.violation import Violation
from outvote.types import ReplicaId

TURNS_BETWEEN = 32  # looks into a core: a certificate stays in it for longer than that, mostly


class Certificates(Checker):
    """What a record relies on, and how many signers that needs, comes from the catalogue."""

    invariants = ("certificate", "membership")
    covers = ("I6", "I13")
    when = "every record; every 32nd turn what the core holds; restarts; at the end"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._turns: dict[ReplicaId, int] = {}
        self._held: dict[ReplicaId, list[Record]] = {}  # found sound

    def recorded(self, replica: ReplicaId, record: Record) -> None:
        for claims, needed in self.scene.protocol.certificates(record, self.scene.committee):
            self._judge(replica, record, claims, needed)

    def turned(self, replica: ReplicaId, turn: Turn, promised: bool) -> None:
        turns = self._turns[replica] = self._turns.get(replica, 0) + 1
        if turns % TURNS_BETWEEN == 0:
            self._look(turn)

    def recovered(self, replica: ReplicaId, turn: Turn) -> None:
        self._look(turn)

    def healed(self) -> None:
        self._look_at_all()

    def finished(self) -> None:
        self._look_at_all()

    def _look_at_all(self) -> None:
        for turn in self.scene.turns():
            self._look(turn)

    def _look(self, turn: Turn) -> None:
        held = self._held.get(turn.me, [])
        now = self._held[turn.me] = self.scene.protocol.insight.relies_on(turn.core)
        for record in now:
            if record not in held:
                self.recorded(turn.me, record)

    def _judge(self, replica: ReplicaId, record: Record, claims: list[Claim], needed: int) -> None:
        named = [claim.signer for claim in claims]
        if not all(map(self.scene.committee.holds, named)) or len(set(named)) < len(named):
            raise Violation(
                "membership", f"replica {replica} relies on a {type(record).__name__} signed by {named}: {record}"
            )
        signers = {claim.signer for claim in claims if self._genuine(claim)}
        if len(signers) < needed:
            raise Violation(
                "certificate",
                f"replica {replica} relies on a {type(record).__name__} with {len(signers)} genuine signers"
                f" of the {needed} it needs: {record}",
            )

    def _genuine(self, claim: Claim) -> bool:
        registry = self.scene.registry
        return registry.opens(claim) if claim.seal else registry.spoke(claim)
