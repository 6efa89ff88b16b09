"""Dealings: how replicas make threshold keys together that nobody ever knows, and how they deal the shares anew.

The parts of a distributed key generation that are arithmetic. What everybody has to agree on is in
`broadcast/key_generation.py`. Keys are as in `crypto/threshold.py`: a polynomial a of degree f over the scalar field,
the secret a(0), replica i's share a(i + 1). Below, replica i stands at x_i = i + 1.

Registration. Each replica has a key X_i = g1^x_i that dealers encrypt to, and beside it a proof that it knows x_i:
H(X_i)^x_i. Without proofs a liar could register a function of the others' keys, and since a dealer encrypts to all of
them with one and the same r, learn from its own box about theirs.

A dealing (Pedersen 1991, Feldman 1987; with two variables as in Cachin, Kursawe, Lysyanskaya and Strobl 2002). The
dealer draws a *symmetric* polynomial F(x, y) of degree f in each variable. What it contributes to the secret is
F(0, 0), to replica i's share F(x_i, 0). It publishes

- g2^c for every coefficient c of F, and g1^F(0, 0);
- for each replica i a box with i's row F(x_i, y), encrypted under X_i^r; U = g1^r and U' = g2^r;
- H(all of this, the ceremony's name, the dealer)^r, a proof that it knows r. Without it a liar could put another one's
  U and boxes into its own dealing, and what the accusers open below would be the other one's boxes.

Everybody can check all of it but the boxes; i alone opens its box, and knows from the coefficients in the exponent
whether the row in it is right.

An accusation: replica i, whose row is not right, shows K = X_i^r. Everybody sees that it is the key to that box
(e(K, g2) = e(X_i, U')), opens the box and judges: the dealer lied, or the accuser did. Nobody has to answer, so nothing
depends on an answer being in time. What a false accuser shows is a row that it owns; every other row stays hidden.

Why two variables: in an asynchronous network a correct replica may learn of its wrong row when all is over. Any f + 1
others then give it F(x_j, x_i), which by symmetry lie on its own row: it checks each of them in the exponent and
interpolates. One variable would leave it without a share for ever.

The result is the sum of the dealings that are not disqualified: of their constants, of their rows.

Re-sharing. The dealers are the old replicas, and old replica d deals a polynomial with F(0, 0) = its old share, which
everybody checks against its old verification key. The new shares are the sum of exactly f' + 1 dealings, f' + 1 being
the old threshold, each times its Lagrange coefficient: so the secret and the public key stay what they were, and new
shares and old ones lie on different polynomials, of which no mixture gives anything.

The bias (Gennaro, Jarecki, Krawczyk and Rabin 1999). Liars see g1^F(0, 0) of the correct dealers before they deal, and
may have their own dealings disqualified afterwards; so among some 2^f keys they can choose, and the public key is not
uniform. Here nothing is drawn from the key's bits. Whoever forges a signature or opens a ciphertext under a key that is
biased in this way can as well solve the problem that they rest on: the proof puts an instance of it into a correct
dealer's part of the key, and takes the liars' parts, which it knows from the rows that correct replicas hold, off again
(Gennaro et al. 2007 for discrete logarithms; Bacho and Loss 2022 for BLS). For this encryption the argument is the
same; we know of no publication that spells it out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

import msgspec
from nacl.bindings import crypto_aead_chacha20poly1305_ietf_decrypt, crypto_aead_chacha20poly1305_ietf_encrypt
from nacl.exceptions import CryptoError

from outvote.core.contract import Struct, canonical
from outvote.crypto.threshold import (
    NO_NONCE,
    SECRET_BYTES,
    Public,
    decoded_g1,
    decoded_g2,
    lagrange_at_zero,
    scalar_of,
)
from outvote.errors import Lie, Mistake
from outvote.types import ReplicaId

from py_arkworks_bls12381 import GT, G1Point, G2Point, Scalar  # isort: skip - crypto.threshold says it if it is missing

_POSSESSION: Final = b"OUTVOTE-V01-POSSESSION-BLS12381G2_XMD:SHA-256_SSWU_RO_"
_DEALT: Final = b"OUTVOTE-V01-DEALING-BLS12381G2_XMD:SHA-256_SSWU_RO_"
_G1_BYTES: Final = 48
REGISTRATION_BYTES: Final = 48 + 96
_BOX_EXTRA: Final = 16  # the tag


class Terms(NamedTuple):
    """What one ceremony is about; the same for everybody."""

    name: bytes  # of this ceremony and no other
    threshold: int  # f + 1
    registrations: tuple[bytes, ...]  # of those who get shares
    dealers: int  # how many replicas deal
    old: Public | None = None  # when these shares are dealt anew


class Dealing(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """What one dealer publishes. Points in compressed form; a matrix as its rows from the diagonal on."""

    commitments: tuple[bytes, ...]  # g2^c, symmetric
    key: bytes  # g1^F(0, 0)
    u: bytes  # g1^r
    u_too: bytes  # g2^r
    boxes: tuple[bytes, ...]  # by receiver
    proof: bytes = b""


class Accusation(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """The sender's row in this dealer's dealing is not right: the key to its box."""

    dealer: ReplicaId
    key: bytes


class Verdict(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """What one replica found in its boxes: nothing, mostly."""

    accusations: tuple[Accusation, ...]


_decode_dealing: Final = msgspec.msgpack.Decoder(Dealing).decode
_decode_verdict: Final = msgspec.msgpack.Decoder(Verdict).decode
Matrix = list[list[G2Point]]
Row = list[Scalar]


def dealing_bytes_max(threshold: int, receivers: int) -> int:
    """Upper bound of a dealing's encoding: 3 bytes before each part."""
    points = threshold * (threshold + 1) // 2
    boxes = receivers * (threshold * SECRET_BYTES + _BOX_EXTRA + 3)
    return points * 99 + boxes + 51 + 51 + 99 + 99 + 16


def verdict_bytes_max(dealers: int) -> int:
    return dealers * (_G1_BYTES + 16) + 16


def register(secret: bytes) -> bytes:
    """The public key that dealers encrypt to, and the proof that it is possessed."""
    x = _registered_scalar(secret)
    key = (G1Point() * x).to_compressed_bytes()
    return bytes(key + (G2Point.hash_to_curve(key, _POSSESSION) * x).to_compressed_bytes())


def registered(registration: bytes, whose: str) -> G1Point:
    """Raises Mistake unless it is a key with a proof that somebody possesses it."""
    encoded, proof = registration[:_G1_BYTES], registration[_G1_BYTES:]
    try:
        key = decoded_g1(encoded)
        points = [decoded_g2(proof), G2Point.hash_to_curve(encoded, _POSSESSION)]
        if not GT.pairing_check([G1Point(), -key], points):
            raise Lie("no proof of possession")
    except Lie as error:
        raise Mistake(f"the registered threshold key of {whose} is wrong ({error}): make the cluster again") from error
    return key


class _Known(NamedTuple):
    """A dealing whose public part is right."""

    dealing: Dealing
    matrix: Matrix
    key: G1Point
    u: G1Point
    u_too: G2Point


class Ceremony:
    """Everything about one ceremony that follows from what is public. Raises Mistake if a registration is wrong."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self._receivers = [registered(one, f"replica {i}") for i, one in enumerate(terms.registrations)]
        parts = (terms.name, terms.threshold, terms.registrations, terms.dealers, terms.old)
        self._context = sha256(msgspec.msgpack.encode(parts)).digest()  # bound into every box and proof
        self._known: dict[ReplicaId, tuple[bytes, _Known | None]] = {}  # one a dealer: checks are dear

    # ------------------------------------------------------------------ the dealer

    def deal(self, dealer: ReplicaId, secret: bytes, old_share: bytes = b"") -> bytes:
        """The same again for the same secret; a share that is dealt anew is the constant."""
        terms = self.terms
        coefficients = self._polynomial(secret, old_share)
        r = scalar_of(b"dealing's ephemeral key", secret, terms.name)
        u, u_too = (G1Point() * r).to_compressed_bytes(), (G2Point() * r).to_compressed_bytes()
        boxes = []
        for receiver, key in enumerate(self._receivers):
            row = _row_at(coefficients, receiver)
            boxes.append(self._sealed(dealer, receiver, key * r, row))
        size = terms.threshold
        upper = [coefficients[k][m] for k in range(size) for m in range(k, size)]
        commitments = tuple(bytes((G2Point() * one).to_compressed_bytes()) for one in upper)
        constant = bytes((G1Point() * coefficients[0][0]).to_compressed_bytes())
        bare = Dealing(commitments, constant, u, u_too, tuple(boxes))
        proof = (self._proven(dealer, bare) * r).to_compressed_bytes()
        return canonical(msgspec.structs.replace(bare, proof=bytes(proof)))

    def _polynomial(self, secret: bytes, old_share: bytes) -> list[list[Scalar]]:
        size, name = self.terms.threshold, self.terms.name
        drawn = [
            [scalar_of(b"dealing's coefficient", secret, name, bytes([min(k, m), max(k, m)])) for m in range(size)]
            for k in range(size)
        ]
        if old_share:
            drawn[0][0] = Scalar.from_be_bytes(old_share)
        return drawn

    def _sealed(self, dealer: ReplicaId, receiver: ReplicaId, key: G1Point, row: Row) -> bytes:
        label = self._label(dealer, receiver)
        text = b"".join(bytes(one.to_be_bytes()) for one in row)
        return crypto_aead_chacha20poly1305_ietf_encrypt(text, label, NO_NONCE, _key_of(label, key))

    def _label(self, dealer: ReplicaId, receiver: ReplicaId) -> bytes:
        places = dealer.to_bytes(8, "big", signed=True) + receiver.to_bytes(8, "big", signed=True)
        return b"outvote dealing" + self._context + places

    def _proven(self, dealer: ReplicaId, bare: Dealing) -> G2Point:
        return G2Point.hash_to_curve(self._label(dealer, -1) + sha256(canonical(bare)).digest(), _DEALT)

    # ------------------------------------------------------------------ everybody

    def checks(self, dealer: ReplicaId, raw: bytes) -> bool:
        """Whether all that is public in the dealing is right; the same for everybody."""
        return self._look(dealer, raw) is not None

    def _look(self, dealer: ReplicaId, raw: bytes) -> _Known | None:
        held = self._known.get(dealer)
        if held is None or held[0] != raw:
            try:
                known: _Known | None = self._decoded(dealer, raw)
            except Lie:
                known = None
            held = self._known[dealer] = raw, known
        return held[1]

    def _decoded(self, dealer: ReplicaId, raw: bytes) -> _Known:
        size, receivers = self.terms.threshold, len(self._receivers)
        if not 0 <= dealer < self.terms.dealers or len(raw) > dealing_bytes_max(size, receivers):
            raise Lie("no dealer, or a dealing that is too long")
        try:
            dealing = _decode_dealing(raw)
        except (msgspec.DecodeError, RecursionError) as error:
            raise Lie("no dealing") from error
        shaped = len(dealing.commitments) == size * (size + 1) // 2 and len(dealing.boxes) == receivers
        if not shaped or canonical(dealing) != raw:
            raise Lie("a dealing of another form")
        points = iter([decoded_g2(one) for one in dealing.commitments])
        matrix: Matrix = [[G2Point.identity()] * size for _ in range(size)]
        for k in range(size):
            for m in range(k, size):
                matrix[k][m] = matrix[m][k] = next(points)
        known = _Known(dealing, matrix, decoded_g1(dealing.key), decoded_g1(dealing.u), decoded_g2(dealing.u_too))
        proof = self._proven(dealer, msgspec.structs.replace(dealing, proof=b""))
        if not (
            GT.pairing_check([known.key, -G1Point()], [G2Point(), matrix[0][0]])
            and GT.pairing_check([known.u, -G1Point()], [G2Point(), known.u_too])
            and GT.pairing_check([G1Point(), -known.u], [decoded_g2(dealing.proof), proof])
        ):
            raise Lie("a dealing that does not belong together")
        if self.terms.old is not None and matrix[0][0] != decoded_g2(self.terms.old.verification[dealer]):
            raise Lie("a dealing of something else than the dealer's share")
        return known

    def judges(self, dealer: ReplicaId, raw: bytes, accuser: ReplicaId, key: bytes) -> bool:
        """Whether the dealer lied to the accuser, who shows the key to its box. False: the accuser lies, or errs."""
        known = self._look(dealer, raw)
        if known is None or not 0 <= accuser < len(self._receivers):
            return False
        try:
            shown = decoded_g1(key)
        except Lie:
            return False
        if not GT.pairing_check([shown, -self._receivers[accuser]], [G2Point(), known.u_too]):
            return False
        return self._unsealed(dealer, known, accuser, shown) is None

    def _unsealed(self, dealer: ReplicaId, known: _Known, receiver: ReplicaId, key: G1Point) -> Row | None:
        """The row in the box; None if it does not open, or if it is not what the dealer published."""
        label = self._label(dealer, receiver)
        box = known.dealing.boxes[receiver]
        try:
            text = crypto_aead_chacha20poly1305_ietf_decrypt(box, label, NO_NONCE, _key_of(label, key))
            if len(text) != self.terms.threshold * SECRET_BYTES:
                return None
            row = [Scalar.from_be_bytes(text[at : at + SECRET_BYTES]) for at in range(0, len(text), SECRET_BYTES)]
        except (CryptoError, ValueError):
            return None
        return row if _row_fits(known.matrix, receiver, row) else None

    def qualified(self, dealings: Mapping[ReplicaId, bytes], verdicts: Mapping[ReplicaId, bytes]) -> list[ReplicaId]:
        """Whose dealings count, in order: those that are right in public and that nobody accuses rightly."""
        guilty: dict[ReplicaId, None] = {}
        for accuser, raw in sorted(verdicts.items()):
            for accusation in accusations_of(raw, self.terms.dealers):
                dealer = accusation.dealer
                if dealer in dealings and self.judges(dealer, dealings[dealer], accuser, accusation.key):
                    guilty[dealer] = None
        return [one for one, raw in sorted(dealings.items()) if one not in guilty and self.checks(one, raw)]

    def combine(self, dealings: Mapping[ReplicaId, bytes], qualified: Sequence[ReplicaId]) -> Combined:
        """What the ceremony comes to. Raises Lie if too few are qualified: then more than f replicas lie."""
        old = self.terms.old
        chosen = list(qualified) if old is None else list(qualified)[: old.threshold]
        if len(chosen) < (self.terms.threshold if old is None else old.threshold):
            raise Lie(f"only {len(chosen)} dealings count: more replicas lie than the cluster bears")
        weights = lagrange_at_zero(chosen) if old is not None else dict.fromkeys(chosen, Scalar(1))
        size = self.terms.threshold
        matrix: Matrix = [[G2Point.identity()] * size for _ in range(size)]
        key = G1Point.identity()
        for dealer in chosen:
            known = self._look(dealer, dealings[dealer])
            assert known is not None, "only those count whose public part is right"
            key += known.key * weights[dealer]
            for k in range(size):
                for m in range(size):
                    matrix[k][m] += known.matrix[k][m] * weights[dealer]
        return Combined(self, matrix, key, {one: (dealings[one], weights[one]) for one in chosen})

    # ------------------------------------------------------------------ a receiver

    def row(self, dealer: ReplicaId, raw: bytes, me: ReplicaId, secret: bytes) -> Row | None:
        """My row of this dealing; None if the dealer lied to me."""
        known = self._look(dealer, raw)
        return None if known is None else self._unsealed(dealer, known, me, known.u * _registered_scalar(secret))

    def verdict(self, dealings: Mapping[ReplicaId, bytes], me: ReplicaId, secret: bytes) -> bytes:
        """Accuse everybody who is right in public, and lied to me."""
        accusations = []
        for dealer, raw in sorted(dealings.items()):
            known = self._look(dealer, raw)
            if known is not None and self.row(dealer, raw, me, secret) is None:
                shown = (known.u * _registered_scalar(secret)).to_compressed_bytes()
                accusations.append(Accusation(dealer, bytes(shown)))
        return canonical(Verdict(tuple(accusations)))

    def help(self, helper: ReplicaId, receiver: ReplicaId, value: Scalar, secret: bytes) -> bytes:
        """A value of the receiver's row, in a box for it."""
        text = bytes(value.to_be_bytes())
        r = scalar_of(b"dealing's help", secret, self.terms.name, receiver.to_bytes(8, "big"), text)
        label = b"help" + self._label(helper, receiver)
        key = _key_of(label, self._receivers[receiver] * r)
        box = crypto_aead_chacha20poly1305_ietf_encrypt(text, label, NO_NONCE, key)
        return bytes((G1Point() * r).to_compressed_bytes() + box)

    def helped(self, helper: ReplicaId, me: ReplicaId, box: bytes, secret: bytes) -> Scalar:
        """Raises Lie if there is no number in it; whether it is right is `Combined.fits`'s to say."""
        label = b"help" + self._label(helper, me)
        key = _key_of(label, decoded_g1(box[:_G1_BYTES]) * _registered_scalar(secret))
        try:
            text = crypto_aead_chacha20poly1305_ietf_decrypt(box[_G1_BYTES:], label, NO_NONCE, key)
            return Scalar.from_be_bytes(text)
        except (CryptoError, ValueError) as error:
            raise Lie("help that does not open") from error


class Combined:
    """The sum of the dealings that count."""

    def __init__(
        self, ceremony: Ceremony, matrix: Matrix, key: G1Point, parts: Mapping[ReplicaId, tuple[bytes, Scalar]]
    ) -> None:
        self._ceremony = ceremony
        self._matrix = matrix
        self._parts = parts
        terms = ceremony.terms
        column = [row[0] for row in matrix]
        verification = [_power_sum(column, place) for place in range(len(terms.registrations))]
        self.public = Public(
            terms.threshold, bytes(key.to_compressed_bytes()),
            tuple(bytes(one.to_compressed_bytes()) for one in verification),
        )  # fmt: skip

    def row(self, me: ReplicaId, secret: bytes) -> Row | None:
        """My row of the sum, whose first number is my share; None if somebody lied to me and was believed."""
        total = [Scalar(0)] * self._ceremony.terms.threshold
        for dealer, (raw, weight) in sorted(self._parts.items()):
            row = self._ceremony.row(dealer, raw, me, secret)
            if row is None:
                return None
            total = [sum_ + one * weight for sum_, one in zip(total, row, strict=True)]
        return total

    def fits(self, helper: ReplicaId, receiver: ReplicaId, value: Scalar) -> bool:
        """Whether F(x_helper, x_receiver) is this."""
        columns = [_power_sum([row[m] for row in self._matrix], helper) for m in range(len(self._matrix))]
        return bool(_power_sum(columns, receiver) == G2Point() * value)

    def share_of_help(self, values: Mapping[ReplicaId, Scalar]) -> bytes:
        """My share, of exactly f + 1 values that fit."""
        weights = lagrange_at_zero(sorted(values))
        total = Scalar(0)
        for helper, value in sorted(values.items()):
            total = total + value * weights[helper]
        return bytes(total.to_be_bytes())


def value_for(row: Row, receiver: ReplicaId) -> Scalar:
    """The value of my row that lies on the receiver's."""
    total = Scalar(0)
    for coefficient in reversed(row):
        total = total * Scalar(receiver + 1) + coefficient
    return total


def accusations_of(raw: bytes, dealers: int) -> tuple[Accusation, ...]:
    """None where it is no verdict; one a dealer at most."""
    try:
        verdict = _decode_verdict(raw) if len(raw) <= verdict_bytes_max(dealers) else Verdict(())
    except (msgspec.DecodeError, RecursionError):
        return ()
    return tuple({one.dealer: one for one in verdict.accusations}.values())


def _registered_scalar(secret: bytes) -> Scalar:
    return scalar_of(b"registered key", secret)


def _key_of(label: bytes, point: G1Point) -> bytes:
    return sha256(label + point.to_compressed_bytes()).digest()


def _row_at(coefficients: Sequence[Sequence[Scalar]], receiver: ReplicaId) -> Row:
    """F(x, y) at x = receiver + 1, as coefficients of y."""
    size = len(coefficients)
    return [value_for([coefficients[k][m] for k in range(size)], receiver) for m in range(size)]


def _row_fits(matrix: Matrix, receiver: ReplicaId, row: Row) -> bool:
    """All coefficients at once: a sum of them with weights that hang on all of them (Bellare, Garay and Rabin 1998)."""
    size = len(matrix)
    text = b"".join(bytes(one.to_be_bytes()) for one in row)
    points = [matrix[k][m] for k in range(size) for m in range(size)]
    seed = sha256(b"".join(bytes(one.to_compressed_bytes()) for one in points) + text).digest()
    weights = [scalar_of(b"row check", seed, m.to_bytes(8, "big")) for m in range(size)]
    powers = _powers(receiver, size)
    expected = G2Point.multiexp_unchecked(points, [powers[k] * weights[m] for k in range(size) for m in range(size)])
    total = Scalar(0)
    for one, weight in zip(row, weights, strict=True):
        total = total + one * weight
    return bool(expected == G2Point() * total)


def _powers(place: ReplicaId, size: int) -> list[Scalar]:
    powers = [Scalar(1)]
    while len(powers) < size:
        powers.append(powers[-1] * Scalar(place + 1))
    return powers


def _power_sum(points: Sequence[G2Point], place: ReplicaId) -> G2Point:
    return G2Point.multiexp_unchecked(list(points), _powers(place, len(points)))
