"""Stand-in signatures: keyed BLAKE2s, a hundred times cheaper than Ed25519, with the same interface.

Nobody can forge one: the keys stay in this file's objects, and an adversary is handed the sealer of the replica it
has corrupted and no other. Every seal ever made is remembered, so checkers can ask who really said what.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2s

from outvote.core.contract import Claim, Struct, canonical, sealed_bytes
from outvote.types import PartyId, Seal


class SealRegistry:
    """All keys of one simulated world."""

    def __init__(self, seed: int) -> None:
        self._secret = blake2s(seed.to_bytes(16, "big", signed=True)).digest()
        self._domain = b"simulated cluster"
        self._made: set[tuple[PartyId, Seal]] = set()
        self._spoken: set[tuple[PartyId, bytes]] = set()  # unsealed statements, as the channels saw them
        self.on_seal: Callable[[PartyId, Struct], None] = _nobody

    def _compute(self, party: PartyId, statement: Struct) -> Seal:
        key = blake2s(party.to_bytes(8, "big"), key=self._secret).digest()
        return blake2s(sealed_bytes(self._domain, statement), key=key).digest() * 2

    def sealer(self, party: PartyId) -> StandInSealer:
        return StandInSealer(self, party)

    def seal(self, party: PartyId, statement: Struct) -> Seal:
        seal = self._compute(party, statement)
        self._made.add((party, seal))
        self.on_seal(party, statement)
        return seal

    def speak(self, party: PartyId, statement: Struct) -> None:
        """An unsealed statement went over a channel of this party."""
        self._spoken.add((party, canonical(statement)))

    def spoke(self, claim: Claim) -> bool:
        """For checkers: whether a claim without a seal is true."""
        return (claim.signer, canonical(claim.statement)) in self._spoken

    def opens(self, claim: Claim) -> bool:
        """Genuine, and really made by that party: a made-up seal is caught even if the key were guessed."""
        return (claim.signer, claim.seal) in self._made and claim.seal == self._compute(claim.signer, claim.statement)


class StandInSealer:
    """One party's key."""

    __slots__ = ("_party", "_registry")

    def __init__(self, registry: SealRegistry, party: PartyId) -> None:
        self._registry = registry
        self._party = party

    def seal(self, statement: Struct) -> Seal:
        return self._registry.seal(self._party, statement)


def _nobody(_party: PartyId, _statement: Struct) -> None:
    """Nobody watches."""
