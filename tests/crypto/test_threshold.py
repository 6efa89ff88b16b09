"""Threshold signatures and encryption over BLS12-381, where their library is installed (the extra `threshold`)."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import pytest

from outvote.errors import Lie, Mistake

if TYPE_CHECKING:
    from outvote.crypto import threshold
else:
    pytest.importorskip("py_arkworks_bls12381")
    from outvote.crypto import threshold

PUBLIC, SECRETS = threshold.deal(4, 2, bytes(32))
KEYS = [threshold.Keys(PUBLIC, me, secret) for me, secret in enumerate(SECRETS)]
COINS = [threshold.ThresholdCoin(keys) for keys in KEYS]
SYSTEMS = [threshold.ThresholdEncryption(keys) for keys in KEYS]
INFINITY = bytes([0xC0]) + bytes(47)


def test_any_shares_give_the_same_signature() -> None:
    shares = {me: coin.share(b"name") for me, coin in enumerate(COINS)}
    assert all(COINS[0].verifies(b"name", me, share) for me, share in shares.items())
    signatures = {COINS[0].combine(b"name", {one: shares[one] for one in pair}) for pair in combinations(range(4), 2)}
    assert len(signatures) == 1
    other = {me: coin.share(b"another name") for me, coin in enumerate(COINS[:2])}
    assert COINS[0].combine(b"another name", other) not in signatures


@pytest.mark.parametrize("share", [b"", b"short", INFINITY, bytes(48), bytes([0x80]) + b"\xff" * 47, bytes(96)])
def test_what_is_no_share_is_refused(share: bytes) -> None:
    assert not COINS[0].verifies(b"name", 1, share)


def test_a_share_is_its_sender_s_for_its_name() -> None:
    share = COINS[1].share(b"name")
    assert not COINS[0].verifies(b"name", 2, share)
    assert not COINS[0].verifies(b"other", 1, share)
    assert not COINS[0].verifies(b"name", 4, share)


def test_what_is_encrypted_is_opened_by_any_f_plus_1() -> None:
    ciphertext = SYSTEMS[2].encrypt(b"label", b"a batch", bytes(32))
    assert b"a batch" not in ciphertext
    shares = {me: system.share(b"label", ciphertext) for me, system in enumerate(SYSTEMS)}
    assert all(SYSTEMS[0].verifies(b"label", ciphertext, me, share) for me, share in shares.items())
    assert not SYSTEMS[0].verifies(b"label", ciphertext, 1, shares[0])
    for pair in combinations(range(4), 2):
        assert SYSTEMS[0].combine(b"label", ciphertext, {one: shares[one] for one in pair}) == b"a batch"


def test_f_replicas_open_nothing_whatever_they_put_beside_their_shares() -> None:
    """f = 2 of 7: one of their shares under another one's number, a point that is nobody's, or a share of another
    ciphertext make no third."""
    public, secrets = threshold.deal(7, 3, bytes(32))
    systems = [threshold.ThresholdEncryption(threshold.Keys(public, me, secrets[me])) for me in range(7)]
    ciphertext = systems[0].encrypt(b"label", b"buy at any price", bytes(32))
    another = systems[1].encrypt(b"another", b"of no importance", b"1" * 32)
    own = {me: systems[me].share(b"label", ciphertext) for me in (5, 6)}
    for made_up in (own[5], own[6], systems[5].share(b"another", another), systems[2].share(b"another", another)):
        assert not systems[5].verifies(b"label", ciphertext, 2, made_up)
        with pytest.raises(Lie):
            systems[5].combine(b"label", ciphertext, {**own, 2: made_up})
    third = systems[2].share(b"label", ciphertext)
    assert systems[5].combine(b"label", ciphertext, {**own, 2: third}) == b"buy at any price"


def test_what_is_remembered_vouches_for_nothing_else() -> None:
    """One's own shares are known again, and the last proof that held; neither for another name, label or content."""
    coin, system = threshold.ThresholdCoin(KEYS[1]), threshold.ThresholdEncryption(KEYS[1])
    share, other = coin.share(b"name"), coin.share(b"other")
    assert coin.verifies(b"name", 1, share)
    assert not coin.verifies(b"name", 1, other)
    assert not coin.verifies(b"name", 0, share)
    ciphertext = system.encrypt(b"label", b"secret", bytes(32))
    assert system.checks(b"label", ciphertext)
    assert not system.checks(b"other", ciphertext)
    assert not system.checks(b"label", ciphertext[:-1] + bytes([ciphertext[-1] ^ 1]))
    own = system.share(b"label", ciphertext)
    assert system.verifies(b"label", ciphertext, 1, own)
    assert not system.verifies(b"label", ciphertext, 1, share)
    memory: dict[bytes, bytes] = {}
    for number in range(300):
        threshold._keep(memory, b"%d" % number, b"")
    assert len(memory) == 256


def test_a_mauled_ciphertext_gets_no_share() -> None:
    """hb_cca_maul: any byte changed, or another label, and nobody helps to open it."""
    ciphertext = SYSTEMS[0].encrypt(b"label", b"secret", bytes(32))
    places = (0, 47, 48, 143, 144, 165)
    spoiled = [ciphertext[:at] + bytes([ciphertext[at] ^ 1]) + ciphertext[at + 1 :] for at in places]
    for mauled in (b"", ciphertext[:100], ciphertext + b"x", INFINITY + ciphertext[48:], *spoiled):
        assert not SYSTEMS[1].checks(b"label", mauled)
        with pytest.raises(Lie):
            SYSTEMS[1].share(b"label", mauled)
    with pytest.raises(Lie):
        SYSTEMS[1].share(b"other", ciphertext)


def test_a_payload_under_another_key_is_a_lie_for_all() -> None:
    """The proof holds and the box does not open."""
    elsewhere = threshold.Keys(*_dealt_for(0, bytes([1]) * 32))
    ciphertext = threshold.ThresholdEncryption(elsewhere).encrypt(b"label", b"text", bytes(32))
    shares = {me: SYSTEMS[me].share(b"label", ciphertext) for me in (0, 1)}
    with pytest.raises(Lie, match="does not open"):
        SYSTEMS[0].combine(b"label", ciphertext, shares)


def _dealt_for(me: int, seed: bytes) -> tuple[threshold.Public, int, bytes]:
    public, secrets = threshold.deal(4, 2, seed)
    return public, me, secrets[me]


def test_keys_that_do_not_belong_together_are_a_mistake() -> None:
    with pytest.raises(Mistake, match="deal again"):
        threshold.Keys(PUBLIC, 0, SECRETS[1])
    with pytest.raises(Mistake, match="seed"):
        threshold.deal(4, 2, b"short")
