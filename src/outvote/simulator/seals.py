"""Stand-in signatures: keyed BLAKE2s, a hundred times cheaper than Ed25519, with the same interface.

Nobody can forge one: the keys stay in this file's objects, and an adversary is handed the sealer of the replica it
has corrupted and no other. Every seal ever made is remembered, so checkers can ask who really said what.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2s

from outvote.core.contract import Claim, Struct, canonical, sealed_bytes
from outvote.crypto.keys import signing_key_from_seed
from outvote.crypto.seals import Ed25519Opener, Ed25519Sealer, domain
from outvote.simulator.checkers.violation import Violation
from outvote.types import PartyId, Seal


class SealRegistry:
    """All keys of one simulated world."""

    def __init__(self, seed: int) -> None:
        self._secret = blake2s(seed.to_bytes(16, "big", signed=True)).digest()
        self._domain = b"simulated cluster"
        self._keys: dict[PartyId, bytes] = {}
        self._made: dict[tuple[PartyId, Seal], bytes] = {}  # what each seal covers
        self._spoken: set[tuple[PartyId, bytes]] = set()  # unsealed statements, as the channels saw them
        self.on_seal: Callable[[PartyId, Struct], None] = _nobody

    def _compute(self, party: PartyId, statement: Struct, covered: bytes) -> Seal:
        key = self._keys.get(party)
        if key is None:
            key = self._keys[party] = blake2s(party.to_bytes(8, "big"), key=self._secret).digest()
        return blake2s(covered, key=key).digest() * 2

    def sealer(self, party: PartyId) -> StandInSealer:
        return StandInSealer(self, party)

    def seal(self, party: PartyId, statement: Struct) -> Seal:
        covered = sealed_bytes(self._domain, statement)
        seal = self._compute(party, statement, covered)
        self._made[party, seal] = covered
        self.on_seal(party, statement)
        return seal

    def speak(self, party: PartyId, statement: Struct) -> None:
        """An unsealed statement went over a channel of this party."""
        self._spoken.add((party, canonical(statement)))

    def spoke(self, claim: Claim) -> bool:
        """For checkers: whether a claim without a seal is true."""
        return (claim.signer, canonical(claim.statement)) in self._spoken

    def opens_here(self, claim: Claim) -> bool:
        """What convinces one convinces all."""
        return self.opens(claim)

    def opens(self, claim: Claim) -> bool:
        """Really made by that party, over this statement: a made-up seal is caught even if the key were guessed."""
        signer, statement, seal = claim
        covered = self._made.get((signer, seal))
        return covered is not None and covered == sealed_bytes(self._domain, statement)


class RealSealRegistry(SealRegistry):
    """The same with Ed25519, as in a real cluster; keys come from the seed."""

    def __init__(self, seed: int, parties: Iterable[PartyId]) -> None:
        super().__init__(seed)
        keys = {
            party: signing_key_from_seed(blake2s(party.to_bytes(8, "big"), key=self._secret).digest())
            for party in parties
        }
        seal_domain = domain(blake2s(self._domain).digest(), 0)
        self._domain = seal_domain
        self._sealers = {party: Ed25519Sealer(seal_domain, key) for party, key in keys.items()}
        # One for the whole world: what one replica has verified costs the others nothing.
        self._opener = Ed25519Opener(seal_domain, {party: key.public for party, key in keys.items()})

    def _compute(self, party: PartyId, statement: Struct, covered: bytes) -> Seal:
        return self._sealers[party].seal(statement)

    def opens(self, claim: Claim) -> bool:
        if not self._opener.opens(claim):
            return False
        if (claim.signer, claim.seal) not in self._made:
            raise Violation("forged seal", f"party {claim.signer} never sealed {claim.statement}")
        return True


class StandInSealer:
    """One party's key, of either kind."""

    __slots__ = ("_party", "_registry")

    def __init__(self, registry: SealRegistry, party: PartyId) -> None:
        self._registry = registry
        self._party = party

    def seal(self, statement: Struct) -> Seal:
        return self._registry.seal(self._party, statement)


def _nobody(_party: PartyId, _statement: Struct) -> None:
    """Nobody watches."""
