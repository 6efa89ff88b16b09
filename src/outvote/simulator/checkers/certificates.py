"""Every certificate that an honest replica relies on has enough different signers who really said exactly that."""

from __future__ import annotations

from collections.abc import Callable

from outvote.core.contract import Claim, Record
from outvote.simulator.checkers.violation import Violation
from outvote.types import ReplicaId


class Certificates:
    """`parts` comes from the catalogue: what a record relies on, and how many signers that needs."""

    def __init__(
        self, parts: Callable[[Record], list[tuple[list[Claim], int]]], genuine: Callable[[Claim], bool]
    ) -> None:
        self._parts = parts
        self._genuine = genuine

    def recorded(self, replica: ReplicaId, record: Record) -> None:
        for claims, needed in self._parts(record):
            signers = {claim.signer for claim in claims if self._genuine(claim)}
            if len(signers) < needed:
                raise Violation(
                    "certificate",
                    f"replica {replica} relies on a {type(record).__name__} with {len(signers)} genuine signers"
                    f" of the {needed} it needs: {record}",
                )
