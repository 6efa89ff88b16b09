"""Signatures on which verifiers disagree: if two replicas judged one differently, it would split the cluster.

Made here from the arithmetic, so that nothing depends on a list: a commitment R with a torsion part (cofactored
verifiers accept it, cofactorless ones do not), R of small order, a scalar S beyond the group's order, encodings that
are not canonical. Passes if every one is refused, at first sight and again, and the signature it was made from is not.
"""

from __future__ import annotations

from hashlib import sha512

import pytest
from nacl import bindings

from outvote.core.contract import Claim, Struct, sealed_bytes
from outvote.crypto.keys import signing_key_from_seed
from outvote.crypto.seals import Ed25519Opener, Ed25519Sealer, domain

ORDER = 2**252 + 27742317777372353535851937790883648493
FIELD = 2**255 - 19
DOMAIN = domain(bytes(range(32)), 0)
SEED = bytes([7]) * 32
KEY = signing_key_from_seed(SEED)
TORSION = {
    "order 1": bytes([1]) + bytes(31),
    "order 2": (FIELD - 1).to_bytes(32, "little"),
    "order 4": bytes(32),
    "order 8": bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    "order 8, other": bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
}


class Vote(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag="vote"):
    number: int


def secret_scalar() -> int:
    head = bytearray(sha512(SEED).digest()[:32])
    head[0] &= 248
    head[31] = head[31] & 127 | 64
    return int.from_bytes(head, "little")


def signature_with(commitment: bytes, scalar_of_commitment: int, vote: Vote) -> bytes:
    """S for a commitment whose part in the prime-order group is `scalar_of_commitment` times the base point."""
    message = sealed_bytes(DOMAIN, vote)
    challenge = int.from_bytes(sha512(commitment + KEY.public + message).digest(), "little") % ORDER
    s = (scalar_of_commitment + challenge * secret_scalar()) % ORDER
    return commitment + s.to_bytes(32, "little")


def point(scalar: int) -> bytes:
    return bindings.crypto_scalarmult_ed25519_base_noclamp(scalar.to_bytes(32, "little"))


def opens_consistently(vote: Vote, seal: bytes) -> bool:
    opener = Ed25519Opener(DOMAIN, {1: KEY.public})
    verdicts = {opener.opens(Claim(1, vote, seal)) for _ in range(3)}
    assert len(verdicts) == 1, "asked again, the same answer"
    return verdicts.pop()


def test_the_arithmetic_of_this_file_makes_good_signatures() -> None:
    assert opens_consistently(Vote(1), signature_with(point(12345), 12345, Vote(1)))
    assert opens_consistently(Vote(1), Ed25519Sealer(DOMAIN, KEY).seal(Vote(1)))


@pytest.mark.parametrize("name", [name for name in TORSION if name != "order 1"])
def test_a_commitment_with_a_torsion_part_is_refused(name: str) -> None:
    for number in range(16):
        mixed = bindings.crypto_core_ed25519_add(point(777 + number), TORSION[name])
        assert not opens_consistently(Vote(number), signature_with(mixed, 777 + number, Vote(number)))


@pytest.mark.parametrize("name", TORSION)
def test_a_commitment_of_small_order_is_refused(name: str) -> None:
    for number in range(16):
        assert not opens_consistently(Vote(number), signature_with(TORSION[name], 0, Vote(number)))


def test_a_scalar_beyond_the_order_is_refused() -> None:
    good = Ed25519Sealer(DOMAIN, KEY).seal(Vote(3))
    s = int.from_bytes(good[32:], "little")
    for multiple in range(1, 16):
        beyond = s + multiple * ORDER
        if beyond < 2**256:
            assert not opens_consistently(Vote(3), good[:32] + beyond.to_bytes(32, "little"))


@pytest.mark.parametrize("y", [FIELD, FIELD + 1, 2**255 - 1])
@pytest.mark.parametrize("sign", [0, 1])
def test_a_commitment_that_is_not_canonical_is_refused(y: int, sign: int) -> None:
    encoded = (y | sign << 255).to_bytes(32, "little")
    assert not opens_consistently(Vote(4), signature_with(encoded, 0, Vote(4)))
