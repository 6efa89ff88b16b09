"""NEW-KEY: two parties that hold their identity keys agree; nobody else gets a key, and nothing is good twice."""

from __future__ import annotations

import msgspec
import pytest
from nacl.bindings import crypto_scalarmult_base

from outvote.core.contract import Claim
from outvote.crypto import key_exchange
from outvote.crypto.key_exchange import (
    COUNTER_MAX,
    EXCHANGE_BYTES_MAX,
    AcceptingExchange,
    Counters,
    DialingExchange,
    Identity,
    NewKey,
    SessionKeys,
)
from outvote.crypto.keys import signing_key_from_seed
from outvote.crypto.seals import Ed25519Opener, Ed25519Sealer, domain
from outvote.errors import Lie

CLUSTER = bytes(range(32))
DIALER, ACCEPTER, STRANGER = 1, 2, 9
NOW = 1_700_000_000_000_000_000


def identity(party: int, cluster: bytes = CLUSTER, epoch: int = 3, key_of: int | None = None) -> Identity:
    """`key_of`: signs with another party's key, as an impostor does."""
    keys = {number: signing_key_from_seed(bytes((number,)) * 32) for number in range(4)}
    mine = signing_key_from_seed(bytes((party if key_of is None else key_of,)) * 32)
    seal_domain = domain(cluster, epoch)
    opener = Ed25519Opener(seal_domain, {number: key.public for number, key in keys.items()})
    return Identity(party, seal_domain, Ed25519Sealer(seal_domain, mine), opener)


def exchange(dialer: Identity, accepter: Identity, wall: int = NOW) -> tuple[SessionKeys, SessionKeys]:
    dialing = DialingExchange(dialer, accepter.me, wall)
    accepting = AcceptingExchange(accepter, dialing.offer, wall)
    assert accepting.party == dialer.me
    proof, theirs = dialing.answered(accepting.answer)
    return theirs, accepting.proven(proof)


def test_both_sides_get_the_same_three_keys() -> None:
    ours, theirs = exchange(identity(DIALER), identity(ACCEPTER))
    assert ours == theirs
    assert len({*ours}) == 3
    assert all(len(key) == 32 for key in ours)
    assert "secret" in repr(ours)
    assert ours.forth.hex() not in repr(ours)


def test_every_exchange_gives_other_keys() -> None:
    dialer, accepter = identity(DIALER), identity(ACCEPTER)
    keys = [exchange(dialer, accepter)[0] for _ in range(3)] + [exchange(accepter, dialer)[0]]
    assert len({key for one in keys for key in one}) == 12


@pytest.mark.parametrize("byte", [0, 20, 40, 80, 120, -1])
def test_a_step_with_one_flipped_bit_is_refused(byte: int) -> None:
    def flipped(step: bytes) -> bytes:
        changed = bytearray(step)
        changed[byte] ^= 1
        return bytes(changed)

    dialer, accepter = identity(DIALER), identity(ACCEPTER)
    dialing = DialingExchange(dialer, ACCEPTER, NOW)
    with pytest.raises(Lie):
        AcceptingExchange(accepter, flipped(dialing.offer), NOW)
    accepting = AcceptingExchange(accepter, dialing.offer, NOW)
    with pytest.raises(Lie):
        dialing.answered(flipped(accepting.answer))
    proof, _ = dialing.answered(accepting.answer)
    with pytest.raises(Lie):
        accepting.proven(flipped(proof) if byte < 64 else proof[:-1])


@pytest.mark.parametrize("step", [b"", b"\x00", b"\xc1", b"\x92" * 200, b"x" * (EXCHANGE_BYTES_MAX + 1), bytes(160)])
def test_garbage_is_refused(step: bytes) -> None:
    with pytest.raises(Lie):
        AcceptingExchange(identity(ACCEPTER), step, NOW)
    with pytest.raises(Lie):
        DialingExchange(identity(DIALER), ACCEPTER, NOW).answered(step)


def test_nobody_speaks_in_another_partys_name() -> None:
    impostor = identity(DIALER, key_of=3)
    with pytest.raises(Lie, match="did not sign"):
        AcceptingExchange(identity(ACCEPTER), DialingExchange(impostor, ACCEPTER, NOW).offer, NOW)
    dialing = DialingExchange(identity(DIALER), ACCEPTER, NOW)
    with pytest.raises(Lie, match="did not sign"):
        dialing.answered(AcceptingExchange(identity(ACCEPTER, key_of=3), dialing.offer, NOW).answer)
    stranger = DialingExchange(identity(STRANGER), ACCEPTER, NOW)
    with pytest.raises(Lie, match="did not sign"):
        AcceptingExchange(identity(ACCEPTER), stranger.offer, NOW)


def test_an_expected_party_is_demanded_and_ones_own_steps_are_refused() -> None:
    dialing = DialingExchange(identity(DIALER), ACCEPTER, NOW)
    with pytest.raises(Lie, match="where party 3"):
        AcceptingExchange(identity(ACCEPTER), dialing.offer, NOW, party=3)
    with pytest.raises(Lie, match="received by 3"):
        AcceptingExchange(identity(3), dialing.offer, NOW)
    with pytest.raises(Lie, match="received by 1"):  # reflected
        dialing.answered(dialing.offer)
    with pytest.raises(Lie, match="received by 1"):
        AcceptingExchange(identity(DIALER), dialing.offer, NOW)


@pytest.mark.parametrize("other", [{"cluster": bytes(32)}, {"epoch": 4}], ids=["cluster", "epoch"])
def test_another_cluster_or_epoch_does_not_understand(other: dict[str, object]) -> None:
    offer = DialingExchange(identity(DIALER, **other), ACCEPTER, NOW).offer  # type: ignore[arg-type]
    with pytest.raises(Lie, match="did not sign"):
        AcceptingExchange(identity(ACCEPTER), offer, NOW)


def test_an_offer_is_refused_once_its_counter_was_used() -> None:
    dialer, accepter = identity(DIALER), identity(ACCEPTER)
    first = DialingExchange(dialer, ACCEPTER, NOW)
    accepting = AcceptingExchange(accepter, first.offer, NOW)
    accepting.proven(first.answered(accepting.answer)[0])
    with pytest.raises(Lie, match="not above its last"):
        AcceptingExchange(accepter, first.offer, NOW)
    # A clock that ran back does not take the same process's counters back.
    second = DialingExchange(dialer, ACCEPTER, NOW - 1)
    assert AcceptingExchange(accepter, second.offer, NOW).party == DIALER


def test_a_half_handshake_uses_no_counter_up_and_a_slow_one_loses_to_a_newer() -> None:
    dialer, accepter = identity(DIALER), identity(ACCEPTER)
    slow, fast = DialingExchange(dialer, ACCEPTER, NOW), DialingExchange(dialer, ACCEPTER, NOW)
    slow_accepting = AcceptingExchange(accepter, slow.offer, NOW)
    slow_proof, _ = slow.answered(slow_accepting.answer)
    fast_accepting = AcceptingExchange(accepter, fast.offer, NOW)
    fast_accepting.proven(fast.answered(fast_accepting.answer)[0])
    with pytest.raises(Lie, match="not above its last"):
        slow_accepting.proven(slow_proof)


def test_a_replayed_offer_is_worthless_even_to_who_stole_its_secret() -> None:
    """A replica that restarted remembers no counters. The proof answers its fresh key, so an old one does not fit."""
    dialer, accepter = identity(DIALER), identity(ACCEPTER)
    dialing = DialingExchange(dialer, ACCEPTER, NOW)
    recorded = AcceptingExchange(accepter, dialing.offer, NOW)
    old_proof, _ = dialing.answered(recorded.answer)
    recorded.proven(old_proof)
    again = AcceptingExchange(identity(ACCEPTER), dialing.offer, NOW)
    with pytest.raises(Lie, match="not made now"):
        again.proven(old_proof)


def test_an_answer_fits_one_offer_only() -> None:
    dialer, accepter = identity(DIALER), identity(ACCEPTER)
    first, second = DialingExchange(dialer, ACCEPTER, NOW), DialingExchange(dialer, ACCEPTER, NOW)
    with pytest.raises(Lie, match="answers another offer"):
        second.answered(AcceptingExchange(accepter, first.offer, NOW).answer)


@pytest.mark.parametrize("public", [bytes(32), bytes([1]) + bytes(31)])
def test_an_ephemeral_key_of_small_order_is_refused(public: bytes) -> None:
    """It is signed by a party of the cluster, which is Byzantine then."""
    dialer = identity(DIALER)
    new_key = NewKey(DIALER, ACCEPTER, NOW, public, b"")
    offer = msgspec.msgpack.encode((new_key, dialer.sealer.seal(new_key)))
    with pytest.raises(Lie, match="small order"):
        AcceptingExchange(identity(ACCEPTER), offer, NOW)


@pytest.mark.parametrize("counter", [0, -1, COUNTER_MAX + 1])
def test_a_counter_outside_its_range_is_refused(counter: int) -> None:
    dialer = identity(DIALER)
    new_key = NewKey(DIALER, ACCEPTER, counter, crypto_scalarmult_base(b"s" * 32), b"")
    offer = msgspec.msgpack.encode((new_key, dialer.sealer.seal(new_key)))
    with pytest.raises(Lie, match="counter"):
        AcceptingExchange(identity(ACCEPTER), offer, NOW)


def test_the_answering_side_has_a_counter_too() -> None:
    counters = Counters()
    counters.accept(ACCEPTER, 5)
    for refused in (5, 4):
        with pytest.raises(Lie, match="not above its last"):
            counters.accept(ACCEPTER, refused)
    counters.accept(ACCEPTER, 6)
    dialer = identity(DIALER)
    dialer.counters.accept(ACCEPTER, NOW + 10)
    dialing = DialingExchange(dialer, ACCEPTER, NOW)
    with pytest.raises(Lie, match="not above its last"):
        dialing.answered(AcceptingExchange(identity(ACCEPTER), dialing.offer, NOW).answer)


def test_a_statement_of_the_exchange_opens_as_nothing_else() -> None:
    """The tag keeps a signed NEW-KEY apart from every statement of a protocol, and the two kinds apart."""
    tags = {kind.__struct_config__.tag for kind in (key_exchange.NewKey, key_exchange.KeyProof)}
    assert tags == {"new key", "key proof"}
    me = identity(DIALER)
    new_key = NewKey(DIALER, ACCEPTER, NOW, bytes(32), b"")
    proof = key_exchange.KeyProof(DIALER, ACCEPTER, bytes(32))
    assert not me.opener.opens(Claim(DIALER, proof, me.sealer.seal(new_key)))
