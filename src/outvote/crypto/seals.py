"""Ed25519 seals over statements.

A seal covers `domain + SHA-256(statement)`, so one given in another cluster, epoch or format never
opens here. libsodium is the only verifier: OpenSSL accepts signatures under small-order keys that
libsodium refuses, and two verifiers that differ on one crafted signature would split a cluster.
Small-order keys are refused at load.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from nacl.bindings import crypto_sign, crypto_sign_open
from nacl.exceptions import BadSignatureError

from outvote.core.contract import Claim, RequestStatement, Struct, sealed_bytes
from outvote.crypto.keys import SigningKey, check_public_key
from outvote.types import DIGEST_BYTES, SEAL_BYTES, Digest, PartyId, Seal

_FORMAT: Final = b"outvote seal 1\0\0"  # 16 bytes; a change of what seals cover changes the number
STAMP_BYTES: Final = 16  # random, so that no two are equal
DOMAIN_BYTES: Final = len(_FORMAT) + DIGEST_BYTES + 8

# Verified seals remembered in each of two generations. A view change quotes a quorum of votes for every
# position of the window: 256 * 67 = 17 152 at n = 100, which two generations of 16 384 hold. An entry is a
# tuple (64 B), a seal (97 B), the sealed bytes (121 B) and about 70 B of dict and number:
# 2 * 16 384 * 352 B = 11.5 MB at most.
REMEMBERED_MAX: Final = 16_384

_Opened: TypeAlias = tuple[PartyId, Seal, bytes]


def domain(cluster: Digest, epoch: int) -> bytes:
    """What every seal of this cluster and epoch begins with: format, cluster, epoch; always 56 bytes."""
    if len(cluster) != DIGEST_BYTES:
        raise ValueError(f"a cluster's identity has {DIGEST_BYTES} bytes, not {len(cluster)}")
    return _FORMAT + cluster + epoch.to_bytes(8, "big")


class Ed25519Sealer:
    """Signs in one party's name."""

    __slots__ = ("_domain", "_secret")

    def __init__(self, seal_domain: bytes, key: SigningKey) -> None:
        self._domain = seal_domain
        self._secret = key.secret

    def seal(self, statement: Struct) -> Seal:
        return crypto_sign(sealed_bytes(self._domain, statement), self._secret)[:SEAL_BYTES]


class Ed25519Opener:
    """Knows everybody's public key and remembers what it has verified.

    Remembering makes certificates cheap: a vote that was verified on arrival costs a digest and a look-up
    when a certificate quotes it. Failures are never remembered: forgeries cannot fill the memory.
    """

    __slots__ = ("_domain", "_keys", "_old", "_remembered_max", "_young")

    def __init__(
        self, seal_domain: bytes, keys: Mapping[PartyId, bytes], remembered_max: int = REMEMBERED_MAX
    ) -> None:
        """`keys`: 32 raw bytes a party. Raises Mistake for a key that check_public_key refuses."""
        for party, public in keys.items():
            check_public_key(public, f"party {party}")
        self._domain = seal_domain
        self._keys: dict[PartyId, bytes] = dict(keys)
        self._remembered_max = remembered_max
        self._young: dict[_Opened, None] = {}
        self._old: dict[_Opened, None] = {}

    def opens(self, claim: Claim) -> bool:
        """Whether the seal is the signer's, over exactly this statement, in this cluster and epoch."""
        signer, statement, seal = claim
        public = self._keys.get(signer)
        if public is None or len(seal) != SEAL_BYTES:
            return False
        covered = sealed_bytes(self._domain, statement)
        opened = (signer, seal, covered)
        if opened in self._young:
            return True
        if opened not in self._old:
            try:
                crypto_sign_open(seal + covered, public)
            except BadSignatureError:
                return False
        if len(self._young) >= self._remembered_max:
            # Dropping a whole generation is O(1); evicting one at a time from a dict rescans its dead front.
            self._old = self._young
            self._young = {}
        self._young[opened] = None
        return True

    def opens_here(self, claim: Claim) -> bool:
        """A signature convinces everybody alike; see crypto/authenticators.py for what does not."""
        return self.opens(claim)


class Stamper:
    """For clients of a protocol that tolerates crashes and no lies: the channel says who asks, and replicas believe
    each other about it. What stands in a seal's place proves nothing; the agreed random bytes follow from it."""

    def __init__(self, draw: Callable[[int], bytes]) -> None:
        """`draw`: so many random bytes."""
        self._draw = draw

    def seal(self, statement: Struct) -> Seal:
        return self._draw(STAMP_BYTES)


class ChannelOpener:
    """For replicas of such a protocol: a request that bears a stamp is one that a client's channel or another replica
    has vouched for."""

    def __init__(self, seals: Ed25519Opener) -> None:
        self._seals = seals

    def opens(self, claim: Claim) -> bool:
        is_stamped = len(claim.seal) == STAMP_BYTES and type(claim.statement) is RequestStatement
        return is_stamped or self._seals.opens(claim)

    def opens_here(self, claim: Claim) -> bool:
        return self.opens(claim)
