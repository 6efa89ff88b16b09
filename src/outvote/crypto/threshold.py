"""Threshold cryptography over BLS12-381: unique threshold signatures and threshold encryption.

A dealer (here: `deal`, for tests and demonstrations) draws a polynomial a of degree f over the scalar field; the secret
is a(0), replica i holds a(i + 1), and everybody knows the public key of each. Any f + 1 values of such a polynomial
give a(0) by Lagrange's formula, in the exponent; f give nothing.

Signatures (Boldyreva 2003): the signature of a name m is H(m)^a(0) in G1, a share is H(m)^a(i + 1). A share is right if
e(share, g2) = e(H(m), g2^a(i + 1)). There is one signature a name, whoever makes it: its hash is a common coin.

Encryption (Baek and Zheng 2003, for pairings of two groups): the public key is Y = g1^a(0). A ciphertext is
(U, W, box) with U = g1^r, box = the text under the key hash(Y^r), sealed with the label, and W = H2(label, U, box)^r.
Its proof: e(g1, W) = e(U, H2(label, U, box)) - whoever made W knew r, and nobody can change label, U or box without
it. A share of the decryption is U^a(i + 1), right if e(share, g2) = e(U, g2^a(i + 1)); f + 1 of them give U^a(0) = Y^r.

Points from outside are decoded with the check that they lie in the right subgroup; the point at infinity is refused.
The library (py_arkworks_bls12381, the extra `threshold`) promises nothing about constant time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256, sha512
from typing import Final, NamedTuple, TypeVar

from nacl.bindings import (
    crypto_aead_chacha20poly1305_ietf_decrypt,
    crypto_aead_chacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError

from outvote.errors import Lie, Mistake
from outvote.types import ReplicaId

try:
    from py_arkworks_bls12381 import GT, G1Point, G2Point, Scalar
except ImportError as missing:
    raise Mistake("threshold keys need a library: pip install 'outvote[threshold]'") from missing

# Domains of the hashes into the groups: RFC 9380 wants one for each use.
_COIN: Final = b"OUTVOTE-V01-COIN-BLS12381G1_XMD:SHA-256_SSWU_RO_"
_PROOF: Final = b"OUTVOTE-V01-CIPHERTEXT-BLS12381G2_XMD:SHA-256_SSWU_RO_"

_G1_BYTES: Final = 48
_G2_BYTES: Final = 96
NO_NONCE: Final = bytes(12)  # the key is used once: it depends on r
SECRET_BYTES: Final = 32
_KEPT_MAX: Final = 256

_Kept = TypeVar("_Kept")


class Public(NamedTuple):
    """What everybody knows of one dealing; points in compressed form."""

    threshold: int  # f + 1
    key: bytes  # Y, in G1
    verification: tuple[bytes, ...]  # g2^a(i + 1), by replica


def deal(n: int, threshold: int, seed: bytes) -> tuple[Public, tuple[bytes, ...]]:
    """A trusted dealer's work: what is public, and each replica's secret. Whoever knows the seed knows everything."""
    if len(seed) < SECRET_BYTES:
        raise Mistake(f"a dealer needs {SECRET_BYTES} bytes of seed or more, not {len(seed)}")
    coefficients = [scalar_of(b"coefficient", seed, index.to_bytes(4, "big")) for index in range(threshold)]
    secrets = [_evaluate(coefficients, Scalar(replica + 1)) for replica in range(n)]
    key = (G1Point() * coefficients[0]).to_compressed_bytes()
    verification = tuple((G2Point() * secret).to_compressed_bytes() for secret in secrets)
    return Public(threshold, key, verification), tuple(secret.to_be_bytes() for secret in secrets)


def scalar_of(*parts: bytes) -> Scalar:
    """Uniform up to 2^-256: 512 bits modulo the order. A hash of parts, each of a length that its place fixes."""
    wide = sha512(b"".join(sha256(part).digest() for part in parts)).digest()
    high, low = Scalar.from_be_bytes_mod_order(wide[:32]), Scalar.from_be_bytes_mod_order(wide[32:])
    return high * Scalar(1 << 128).square() + low


def lagrange_at_zero(members: Sequence[ReplicaId]) -> dict[ReplicaId, Scalar]:
    """With which factor each one's value at its place counts towards the value at 0."""
    factors: dict[ReplicaId, Scalar] = {}
    for replica in members:
        factors[replica] = Scalar(1)
        for other in members:
            if other != replica:
                factors[replica] = factors[replica] * Scalar(other + 1) / (Scalar(other + 1) - Scalar(replica + 1))
    return factors


def _evaluate(coefficients: Sequence[Scalar], at: Scalar) -> Scalar:
    total = Scalar(0)
    for coefficient in reversed(coefficients):
        total = total * at + coefficient
    return total


def public_of(threshold: int, key: bytes, verification: Sequence[bytes]) -> Public:
    """Out of a configuration. Raises Mistake unless they are points, of one polynomial of degree threshold - 1."""
    try:
        decoded_g1(key)
        for one in verification:
            decoded_g2(one)
    except Lie as error:
        raise Mistake(f"the public threshold keys are wrong ({error}): copy cluster.toml again") from error
    return Public(threshold, key, tuple(verification))


class Keys:
    """The points of one dealing, decoded once and checked."""

    def __init__(self, public: Public, me: ReplicaId, secret: bytes) -> None:
        self.me = me
        self.threshold = public.threshold
        self.key = decoded_g1(public.key)
        self.verification = [decoded_g2(one) for one in public.verification]
        try:
            self.secret = Scalar.from_be_bytes(secret)
        except ValueError as error:
            raise Mistake(f"the threshold secret of replica {me} is no number below the group's order") from error
        if self.verification[me] != G2Point() * self.secret:
            raise Mistake(f"the threshold secret of replica {me} does not belong to its public key: deal again")

    def right(self, share: bytes, raised: G1Point, sender: ReplicaId) -> bool:
        """Whether `share` is `raised` to the sender's secret."""
        if not 0 <= sender < len(self.verification):
            return False
        try:
            point = decoded_g1(share)
        except Lie:
            return False
        return bool(GT.pairing_check([point, -raised], [G2Point(), self.verification[sender]]))

    def together(self, shares: Mapping[ReplicaId, bytes]) -> G1Point:
        """Lagrange's formula at 0 in the exponent, of exactly f + 1 verified shares."""
        assert len(shares) == self.threshold
        total = G1Point.identity()
        for replica, factor in lagrange_at_zero(sorted(shares)).items():
            total += decoded_g1(shares[replica]) * factor
        return total


def possesses(public: Public, replica: ReplicaId, name: bytes, signature: bytes) -> bool:
    """Whether it is this replica's share of the signature of a name, which nobody can make without its secret."""
    try:
        points = [decoded_g1(signature), -G1Point.hash_to_curve(name, _COIN)]
        return bool(GT.pairing_check(points, [G2Point(), decoded_g2(public.verification[replica])]))
    except (Lie, IndexError):
        return False


class ThresholdCoin:
    """One replica's access to unique threshold signatures: see `broadcast/coin.py`."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._points: dict[bytes, G1Point] = {}  # of the last names: each is asked for f + 2 times
        self._own: dict[bytes, bytes] = {}  # the last shares of our own, which come back to be counted

    def share(self, name: bytes) -> bytes:
        share = bytes((self._point(name) * self._keys.secret).to_compressed_bytes())
        _keep(self._own, name, share)
        return share

    def verifies(self, name: bytes, sender: ReplicaId, share: bytes) -> bool:
        if sender == self._keys.me and self._own.get(name) == share:
            return True
        return self._keys.right(share, self._point(name), sender)

    def _point(self, name: bytes) -> G1Point:
        point = self._points.get(name)
        if point is None:
            point = G1Point.hash_to_curve(name, _COIN)
            _keep(self._points, name, point)
        return point

    def combine(self, _name: bytes, shares: Mapping[ReplicaId, bytes]) -> bytes:
        return bytes(self._keys.together(shares).to_compressed_bytes())


class ThresholdEncryption:
    """One replica's access to threshold encryption: see `broadcast/threshold_encryption.py`."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._checked = b"", b""  # the last label and ciphertext whose proof held
        self._own: dict[bytes, bytes] = {}  # the last shares of our own, by U

    def encrypt(self, label: bytes, plaintext: bytes, entropy: bytes) -> bytes:
        r = scalar_of(b"encrypt", entropy, label, plaintext)
        u = (G1Point() * r).to_compressed_bytes()
        box = crypto_aead_chacha20poly1305_ietf_encrypt(plaintext, label, NO_NONCE, _key(self._keys.key * r))
        w = (_proven(label, u, box) * r).to_compressed_bytes()
        return bytes(u + w + box)

    def checks(self, label: bytes, ciphertext: bytes) -> bool:
        if (label, ciphertext) == self._checked:
            return True
        u, w, box = _parts(ciphertext)
        try:
            points = [G1Point(), -decoded_g1(u)]
            holds = bool(GT.pairing_check(points, [decoded_g2(w), _proven(label, u, box)]))
        except Lie:
            return False
        if holds:
            self._checked = label, ciphertext
        return holds

    def share(self, label: bytes, ciphertext: bytes) -> bytes:
        """Raises Lie unless the ciphertext's proof holds: no share for one that was mauled."""
        if not self.checks(label, ciphertext):
            raise Lie("a ciphertext without a proof")
        share = bytes((decoded_g1(_parts(ciphertext)[0]) * self._keys.secret).to_compressed_bytes())
        _keep(self._own, _parts(ciphertext)[0], share)
        return share

    def verifies(self, _label: bytes, ciphertext: bytes, sender: ReplicaId, share: bytes) -> bool:
        if sender == self._keys.me and self._own.get(_parts(ciphertext)[0]) == share:
            return True
        return self._keys.right(share, decoded_g1(_parts(ciphertext)[0]), sender)

    def combine(self, label: bytes, ciphertext: bytes, shares: Mapping[ReplicaId, bytes]) -> bytes:
        box = _parts(ciphertext)[2]
        try:
            return crypto_aead_chacha20poly1305_ietf_decrypt(
                box, label, NO_NONCE, _key(self._keys.together(shares))
            )
        except CryptoError as error:
            raise Lie("a payload that does not open") from error


def _keep(memory: dict[bytes, _Kept], key: bytes, value: _Kept) -> None:
    """The newest _KEPT_MAX, 300 bytes each."""
    if len(memory) >= _KEPT_MAX:
        del memory[next(iter(memory))]
    memory[key] = value


def _parts(ciphertext: bytes) -> tuple[bytes, bytes, bytes]:
    after = _G1_BYTES + _G2_BYTES
    return ciphertext[:_G1_BYTES], ciphertext[_G1_BYTES:after], ciphertext[after:]


def _proven(label: bytes, u: bytes, box: bytes) -> G2Point:
    return G2Point.hash_to_curve(b"".join((len(label).to_bytes(8, "big"), label, u, sha256(box).digest())), _PROOF)


def _key(point: G1Point) -> bytes:
    return sha256(b"outvote batch key" + point.to_compressed_bytes()).digest()


def decoded_g1(encoded: bytes) -> G1Point:
    """Raises Lie unless it is a point of the subgroup other than infinity."""
    try:
        point = G1Point.from_compressed_bytes(encoded)
    except (ValueError, TypeError) as error:
        raise Lie("no point of G1") from error
    if point == G1Point.identity():
        raise Lie("the point at infinity")
    return point


def decoded_g2(encoded: bytes) -> G2Point:
    try:
        point = G2Point.from_compressed_bytes(encoded)
    except (ValueError, TypeError) as error:
        raise Lie("no point of G2") from error
    if point == G2Point.identity():
        raise Lie("the point at infinity")
    return point
