"""Authenticators of clients' requests: a vector of MACs, one entry a replica, and behind it a signature. Pure.

    n (1 byte) | entry of replica 0 (16 bytes) | ... | entry of replica n - 1 | Ed25519 signature (64 bytes)

An entry is BLAKE2b-128, keyed with the session key of the client and that replica, over the bytes that the signature
covers as well (core/contract.sealed_bytes). A replica checks its own entry and nobody else's, fifty times cheaper than
a signature; it convinces that replica alone. Whoever must be sure that all others will be convinced too - a primary,
before it proposes - looks at the signature: an entry that is good here and bad there is then the client's own loss,
one signature check at each replica, and never a reason to change views (the "Big MAC" attack of Clement et al., NSDI
2009). An entry for a replica whose session key the client lacks is zeros, and that replica checks the signature.
"""

from __future__ import annotations

from hashlib import blake2b
from hmac import compare_digest
from typing import Any, Final, Protocol

from outvote.core.contract import Claim, Struct, sealed_bytes
from outvote.types import SEAL_BYTES, ClientId, PartyId, ReplicaId, Seal

MAC_BYTES: Final = 16
REPLICAS_MAX: Final = 255  # the count is one byte
_NO_ENTRY: Final = bytes(MAC_BYTES)


class Signer(Protocol):
    """Signs in one party's name."""

    def seal(self, statement: Struct) -> Seal: ...


class Verifier(Protocol):
    """Opens signatures."""

    def opens(self, claim: Claim) -> bool: ...


def vector_bytes(n: int) -> int:
    """Length of the vector of MACs alone."""
    return 1 + MAC_BYTES * n


def authenticator_bytes(n: int) -> int:
    """Length of a whole authenticator: vector and signature."""
    return vector_bytes(n) + SEAL_BYTES


def signature_of(seal: Seal, n: int) -> Seal:
    """The signature in a seal that is one, or that is an authenticator for n replicas; else b""."""
    if len(seal) == SEAL_BYTES:
        return seal
    if len(seal) == authenticator_bytes(n) and seal[0] == n:
        return seal[-SEAL_BYTES:]
    return b""


class AuthenticatorSealer:
    """Authenticates one client's requests to all replicas whose session keys it has, and signs for the others."""

    __slots__ = ("_codes", "_domain", "_n", "_signer")

    def __init__(self, seal_domain: bytes, n: int, signer: Signer) -> None:
        if n > REPLICAS_MAX:
            raise ValueError(f"an authenticator has {REPLICAS_MAX} entries at most, not {n}")
        self._domain = seal_domain
        self._n = n
        self._signer = signer
        self._codes: list[Any] = [None] * n  # keyed, copied for each request: a third cheaper than keying anew

    def renew(self, replica: ReplicaId, key: bytes) -> None:
        """A new session key; the old one is forgotten."""
        self._codes[replica] = blake2b(key=key, digest_size=MAC_BYTES)

    def forget(self, replica: ReplicaId) -> None:
        """The replica is away: it will have another key when it is back."""
        self._codes[replica] = None

    def seal(self, statement: Struct) -> Seal:
        covered = sealed_bytes(self._domain, statement)
        parts = [bytes((self._n,))]
        for keyed in self._codes:
            if keyed is None:
                parts.append(_NO_ENTRY)
            else:
                code = keyed.copy()
                code.update(covered)
                parts.append(code.digest())
        parts.append(self._signer.seal(statement))
        return b"".join(parts)


class AuthenticatorOpener:
    """What one replica makes of a seal: a signature, or an authenticator with an entry for it."""

    __slots__ = ("_begin", "_codes", "_domain", "_end", "_n", "_signatures", "_whole")

    def __init__(self, me: ReplicaId, n: int, seal_domain: bytes, signatures: Verifier) -> None:
        self._n = n
        self._domain = seal_domain
        self._signatures = signatures
        self._begin, self._end = vector_bytes(me), vector_bytes(me + 1)
        self._whole = authenticator_bytes(n)
        self._codes: dict[PartyId, dict[int, Any]] = {}  # of a client of the genesis, one a session

    def renew(self, client: ClientId, session: int, key: bytes) -> None:
        """The new key of a session with a client; what carries an entry under its old one needs the signature from now
        on. Whoever calls bounds a client's sessions: each costs a MAC where no entry is good."""
        self._codes.setdefault(client, {})[session] = blake2b(key=key, digest_size=MAC_BYTES)

    def forget(self, client: ClientId, session: int) -> None:
        """The session is over."""
        codes = self._codes.get(client, {})
        codes.pop(session, None)
        if not codes:
            self._codes.pop(client, None)

    def opens(self, claim: Claim) -> bool:
        """Whether the signature is the signer's, over exactly this statement: it convinces everybody."""
        signature = signature_of(claim.seal, self._n)
        if len(signature) != len(claim.seal):
            claim = Claim(claim.signer, claim.statement, signature)
        return self._signatures.opens(claim)

    def opens_here(self, claim: Claim) -> bool:
        """Whether this replica may be sure, by its own entry or else by the signature."""
        signer, statement, seal = claim
        codes = self._codes.get(signer)
        if codes is not None and len(seal) == self._whole and seal[0] == self._n:
            covered, entry = sealed_bytes(self._domain, statement), seal[self._begin : self._end]
            for keyed in codes.values():
                code = keyed.copy()
                code.update(covered)
                if compare_digest(code.digest(), entry):
                    return True
        return self.opens(claim)
