"""A quorum's seals over one statement.

A certificate on the wire is the statement's fields and a tuple of (signer, seal). Its use always takes two steps:
the *host* checks every seal (each message lists them in `claims()`), and the *core* checks with `sound` that there
are enough signers, all different, all members. The statement is rebuilt from the fields that the user of the
certificate relies on, so cluster, epoch (in the seal's domain), kind (its tag), view, position and digest are bound.
"""

from __future__ import annotations

from typing import TypeAlias

from outvote.core.committee import Committee
from outvote.core.contract import Claim, Struct
from outvote.types import ReplicaId, Seal

Seals: TypeAlias = tuple[tuple[ReplicaId, Seal], ...]


def claims_of(statement: Struct, seals: Seals) -> list[Claim]:
    """One claim a signer, all over the same statement."""
    return [Claim(signer, statement, seal) for signer, seal in seals]


def sound(seals: Seals, needed: int, committee: Committee, barred: ReplicaId | None = None) -> bool:
    """Whether `needed` or more different members signed, `barred` (if given) not among them.

    Signers must ascend, so that a certificate has one form and a repeated signer is seen at once.
    """
    if not needed <= len(seals) <= committee.n:
        return False
    last = -1
    for signer, _ in seals:
        if signer <= last or signer >= committee.n or signer == barred:
            return False
        last = signer
    return True
