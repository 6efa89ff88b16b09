"""Seals open for exactly one signer, statement, cluster and epoch; and nothing else opens."""

from __future__ import annotations

import pickle

import msgspec
import pytest
from nacl.bindings import crypto_sign, crypto_sign_open

from outvote.core.contract import Claim, RequestStatement, Struct
from outvote.crypto import seals
from outvote.crypto.keys import (
    SigningKey,
    check_public_key,
    generate_signing_key,
    signing_key_from_pem,
    signing_key_from_seed,
    signing_key_to_pem,
)
from outvote.crypto.seals import DOMAIN_BYTES, ChannelOpener, Ed25519Opener, Ed25519Sealer, Stamper, domain
from outvote.errors import Mistake

CLUSTER = bytes(range(32))
IDENTITY = bytes([1]) + bytes(31)
NEGATED_IDENTITY = bytes([1]) + bytes(30) + bytes([0x80])  # not canonical
ORDER_2 = bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")
ORDER_4 = bytes(32)
ORDER_8 = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
ORDER_8_OTHER = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")


class Vote(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag="vote"):
    view: int
    position: int


class Veto(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag="veto"):
    view: int
    position: int


def keyed(number: int) -> SigningKey:
    return signing_key_from_seed(bytes([number]) * 32)


def opener(**options: int) -> Ed25519Opener:
    return Ed25519Opener(domain(CLUSTER, 3), {n: keyed(n).public for n in range(4)}, **options)


def sealer(number: int, cluster: bytes = CLUSTER, epoch: int = 3) -> Ed25519Sealer:
    return Ed25519Sealer(domain(cluster, epoch), keyed(number))


def test_a_seal_opens_for_its_signer_and_statement_only() -> None:
    seal = sealer(1).seal(Vote(4, 5))
    knows = opener()
    assert len(seal) == 64
    assert knows.opens(Claim(1, Vote(4, 5), seal))
    assert not knows.opens(Claim(2, Vote(4, 5), seal))
    assert not knows.opens(Claim(1, Vote(5, 4), seal))
    assert not knows.opens(Claim(1, Veto(4, 5), seal)), "the tag is part of what is sealed"
    assert knows.opens(Claim(1, Vote(4, 5), seal)), "again, from memory"


def test_other_clusters_and_epochs_do_not_open() -> None:
    knows = opener()
    assert not knows.opens(Claim(1, Vote(1, 1), sealer(1, cluster=bytes(32)).seal(Vote(1, 1))))
    assert not knows.opens(Claim(1, Vote(1, 1), sealer(1, epoch=4).seal(Vote(1, 1))))


def test_domain_has_a_fixed_length_and_tells_everything_apart() -> None:
    assert {len(domain(CLUSTER, epoch)) for epoch in (0, 1, 2**63)} == {DOMAIN_BYTES}
    assert len({domain(CLUSTER, 0), domain(CLUSTER, 1), domain(bytes(32), 0)}) == 3
    with pytest.raises(ValueError, match="32 bytes"):
        domain(b"short", 0)


def test_unknown_signer_and_wrong_length_do_not_open() -> None:
    seal = sealer(1).seal(Vote(1, 1))
    knows = opener()
    assert not knows.opens(Claim(9, Vote(1, 1), seal))
    for wrong in (b"", seal[:-1], seal + b"\0", bytes(64)):
        assert not knows.opens(Claim(1, Vote(1, 1), wrong))


def test_every_flipped_bit_closes_the_seal() -> None:
    seal = sealer(1).seal(Vote(1, 1))
    knows = opener()
    assert knows.opens(Claim(1, Vote(1, 1), seal))
    for bit in range(512):
        flipped = bytearray(seal)
        flipped[bit // 8] ^= 1 << bit % 8
        assert not knows.opens(Claim(1, Vote(1, 1), bytes(flipped))), bit


def test_a_second_encoding_of_the_same_signature_does_not_open() -> None:
    order = 2**252 + 27742317777372353535851937790883648493
    seal = sealer(1).seal(Vote(1, 1))
    scalar = int.from_bytes(seal[32:], "little") + order
    assert not opener().opens(Claim(1, Vote(1, 1), seal[:32] + scalar.to_bytes(32, "little")))


def test_memory_saves_the_verification_never_remembers_failures_and_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    verified: list[bytes] = []

    def counting(signed: bytes, public: bytes) -> bytes:
        verified.append(signed)
        return crypto_sign_open(signed, public)

    monkeypatch.setattr(seals, "crypto_sign_open", counting)
    knows = opener(remembered_max=4)
    signs = sealer(1)
    claims = [Claim(1, Vote(0, position), signs.seal(Vote(0, position))) for position in range(20)]
    for claim in claims:
        assert knows.opens(claim)
        assert knows.opens(claim)
    assert len(verified) == 20
    assert len(knows._young) + len(knows._old) <= 8
    forged = Claim(1, Vote(9, 9), claims[0].seal)
    assert not knows.opens(forged)
    assert not knows.opens(forged)
    assert len(verified) == 22
    assert knows.opens(claims[19])
    assert len(verified) == 22
    assert knows.opens(claims[0]), "forgotten, so verified again"
    assert len(verified) == 23


@pytest.mark.parametrize("public", [IDENTITY, NEGATED_IDENTITY, ORDER_2, ORDER_4, ORDER_8, ORDER_8_OTHER])
def test_small_order_keys_are_refused_at_load(public: bytes) -> None:
    with pytest.raises(Mistake, match="party 7 is not a usable Ed25519 key"):
        Ed25519Opener(domain(CLUSTER, 0), {7: public})


def test_keys_of_wrong_length_or_off_the_curve_are_refused() -> None:
    with pytest.raises(Mistake, match="has 31 bytes"):
        check_public_key(bytes(31), "replica 1")
    with pytest.raises(Mistake, match="not a usable"):
        check_public_key(b"\x02" + bytes(31), "replica 1")
    check_public_key(generate_signing_key().public, "replica 1")


def test_signature_is_rfc_8032() -> None:
    """Test vector 2 of RFC 8032: whoever re-implements the format can rely on plain Ed25519."""
    key = signing_key_from_seed(
        bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    )
    assert key.public.hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    assert crypto_sign(b"\x72", key.secret)[:64].hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )


def test_pem_round_trip_and_refusals() -> None:
    key = generate_signing_key()
    pem = signing_key_to_pem(key)
    assert pem.startswith(b"-----BEGIN PRIVATE KEY-----")
    back = signing_key_from_pem(pem)
    assert (back.public, back.secret) == (key.public, key.secret)
    for wrong in (b"", b"nonsense", pem.replace(b"M", b"N", 1), pem[:40]):
        with pytest.raises(Mistake, match="not an unencrypted Ed25519 private key"):
            signing_key_from_pem(wrong)


def test_secrets_stay_out_of_repr_and_pickle() -> None:
    key = generate_signing_key()
    assert key.secret[:32].hex() not in repr(key)
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(key)


def test_statements_survive_a_trip_over_the_wire() -> None:
    """The seal is over values: decode(encode(statement)) opens with the same seal."""
    seal = sealer(2).seal(Vote(2**40, 7))
    decoded = msgspec.msgpack.decode(msgspec.msgpack.encode(Vote(2**40, 7)), type=Vote)
    assert opener().opens(Claim(2, decoded, seal))


def test_where_nobody_lies_a_stamp_will_do_for_a_request_and_for_nothing_else() -> None:
    key, request = generate_signing_key(), RequestStatement(7, 1, 0, (b"put",))
    signatures = Ed25519Opener(domain(CLUSTER, 0), {7: key.public})
    channels = ChannelOpener(signatures)
    seal, stamp = Ed25519Sealer(domain(CLUSTER, 0), key).seal(request), Stamper(bytes).seal(request)
    for opens in (channels.opens, channels.opens_here):
        assert opens(Claim(7, request, stamp))
        assert opens(Claim(7, request, seal)), "whoever signs may"
        assert not opens(Claim(7, request, bytes(64)))
        assert not opens(Claim(7, request, b""))
        assert not opens(Claim(7, Vote(0, 1), stamp))
    assert not signatures.opens(Claim(7, request, stamp))
