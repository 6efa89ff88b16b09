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
    FORMAT_CHARACTERS_MAX,
    FORMATS_MAX,
    RESERVED_AHEAD,
    AcceptingExchange,
    Ceiling,
    Counters,
    DialingExchange,
    Identity,
    NewKey,
    SessionKeys,
)
from outvote.crypto.keys import signing_key_from_seed
from outvote.crypto.seals import Ed25519Opener, Ed25519Sealer, domain
from outvote.errors import Lie, OtherVersion
from outvote.types import SECOND

CLUSTER = bytes(range(32))
DIALER, ACCEPTER, STRANGER = 1, 2, 9
FORMATS = ("outvote/1",)
NOW = 1_700_000_000_000_000_000


def identity(
    party: int,
    cluster: bytes = CLUSTER,
    epoch: int = 3,
    key_of: int | None = None,
    formats: tuple[str, ...] = FORMATS,
    ceiling: Ceiling | None = None,
) -> Identity:
    """`key_of`: signs with another party's key, as an impostor does."""
    keys = {number: signing_key_from_seed(bytes((number,)) * 32) for number in range(4)}
    mine = signing_key_from_seed(bytes((party if key_of is None else key_of,)) * 32)
    seal_domain = domain(cluster, epoch)
    opener = Ed25519Opener(seal_domain, {number: key.public for number, key in keys.items()})
    return Identity(party, seal_domain, Ed25519Sealer(seal_domain, mine), opener, formats, ceiling)


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
    new_key = NewKey(DIALER, ACCEPTER, NOW, public, b"", FORMATS)
    offer = msgspec.msgpack.encode((new_key, dialer.sealer.seal(new_key)))
    with pytest.raises(Lie, match="small order"):
        AcceptingExchange(identity(ACCEPTER), offer, NOW)


@pytest.mark.parametrize("counter", [0, -1, COUNTER_MAX + 1])
def test_a_counter_outside_its_range_is_refused(counter: int) -> None:
    dialer = identity(DIALER)
    new_key = NewKey(DIALER, ACCEPTER, counter, crypto_scalarmult_base(b"s" * 32), b"", FORMATS)
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
    dialer.counters.accept(ACCEPTER, NOW + 10, answers=True)
    dialing = DialingExchange(dialer, ACCEPTER, NOW)
    with pytest.raises(Lie, match="not above its last"):
        dialing.answered(AcceptingExchange(identity(ACCEPTER), dialing.offer, NOW).answer)


def test_two_that_dial_each_other_at_once_both_get_through() -> None:
    """The answer of one has a higher counter than its offer, and may come first."""
    one, other = identity(DIALER), identity(ACCEPTER)
    forth, back = DialingExchange(one, ACCEPTER, NOW), DialingExchange(other, DIALER, NOW)
    at_other, at_one = AcceptingExchange(other, forth.offer, NOW), AcceptingExchange(one, back.offer, NOW)
    proof_of_other, _ = back.answered(at_one.answer)
    proof_of_one, _ = forth.answered(at_other.answer)
    at_other.proven(proof_of_one)
    at_one.proven(proof_of_other)


def test_a_statement_of_the_exchange_opens_as_nothing_else() -> None:
    """The tag keeps a signed NEW-KEY apart from every statement of a protocol, and the two kinds apart."""
    tags = {kind.__struct_config__.tag for kind in (key_exchange.NewKey, key_exchange.KeyProof)}
    assert tags == {"new key", "key proof"}
    me = identity(DIALER)
    new_key = NewKey(DIALER, ACCEPTER, NOW, bytes(32), b"", FORMATS)
    proof = key_exchange.KeyProof(DIALER, ACCEPTER, bytes(32))
    assert not me.opener.opens(Claim(DIALER, proof, me.sealer.seal(new_key)))


def rewritten(step: bytes, formats: tuple[str, ...]) -> bytes:
    """As somebody in the middle would have it: the same NEW-KEY and signature, other wire formats."""
    new_key, seal = msgspec.msgpack.decode(step)
    return msgspec.msgpack.encode(([*new_key[:-1], formats], seal))


def test_nobody_in_the_middle_talks_both_sides_into_an_older_format() -> None:
    newer = ("outvote/2", "outvote/1")
    dialer, accepter = identity(DIALER, formats=newer), identity(ACCEPTER, formats=newer)
    dialing = DialingExchange(dialer, ACCEPTER, NOW)
    for stripped in (("outvote/1",), ("outvote/1", "outvote/2"), ()):
        with pytest.raises(Lie, match="did not sign"):
            AcceptingExchange(accepter, rewritten(dialing.offer, stripped), NOW)
    accepting = AcceptingExchange(accepter, dialing.offer, NOW)
    for stripped in (("outvote/1",), ()):
        with pytest.raises(Lie, match="did not sign"):
            dialing.answered(rewritten(accepting.answer, stripped))
    proof, _ = dialing.answered(accepting.answer)
    accepting.proven(proof)
    assert dialing.format == accepting.format == "outvote/2"


def test_both_sides_choose_the_dialing_sides_best() -> None:
    dialing = DialingExchange(identity(DIALER, formats=("a/3", "a/2", "a/1")), ACCEPTER, NOW)
    accepting = AcceptingExchange(identity(ACCEPTER, formats=("a/1", "a/2")), dialing.offer, NOW)
    dialing.answered(accepting.answer)
    assert dialing.format == accepting.format == "a/2"


def test_without_a_format_in_common_both_are_told_by_the_others_signature() -> None:
    dialing = DialingExchange(identity(DIALER, formats=("a/9", "a/8")), ACCEPTER, NOW)
    accepting = AcceptingExchange(identity(ACCEPTER), dialing.offer, NOW)
    with pytest.raises(OtherVersion, match="party 1 speaks a/9 or a/8, and this one outvote/1; install"):
        assert accepting.format
    with pytest.raises(OtherVersion, match="party 2 speaks outvote/1, and this one a/9 or a/8; install"):
        dialing.answered(accepting.answer)


@pytest.mark.parametrize(
    "formats", [("a",) * (FORMATS_MAX + 1), ("",), ("a" * (FORMAT_CHARACTERS_MAX + 1),), ("\x1b[",)]
)
def test_wire_formats_that_are_no_names_are_refused(formats: tuple[str, ...]) -> None:
    dialer = identity(DIALER)
    new_key = NewKey(DIALER, ACCEPTER, NOW, crypto_scalarmult_base(b"s" * 32), b"", formats)
    offer = msgspec.msgpack.encode((new_key, dialer.sealer.seal(new_key)))
    with pytest.raises(Lie, match="formats are no names"):
        AcceptingExchange(identity(ACCEPTER), offer, NOW)


def test_the_longest_exchange_fits_its_bound() -> None:
    formats = tuple(str(number) * FORMAT_CHARACTERS_MAX for number in range(FORMATS_MAX))
    dialing = DialingExchange(identity(DIALER, formats=formats), ACCEPTER, COUNTER_MAX - 1)
    accepting = AcceptingExchange(identity(ACCEPTER, formats=formats), dialing.offer, COUNTER_MAX - 1)
    assert max(len(dialing.offer), len(accepting.answer)) <= EXCHANGE_BYTES_MAX - 40
    dialing.answered(accepting.answer)


class Kept:
    """A ceiling in memory."""

    def __init__(self) -> None:
        self.writes: list[int] = []

    def read(self) -> int:
        return self.writes[-1] if self.writes else 0

    def raise_to(self, ceiling: int) -> None:
        self.writes.append(ceiling)


def test_counters_rise_across_restarts_though_the_clock_was_set_back() -> None:
    kept = Kept()
    accepter = identity(ACCEPTER)
    exchange(identity(DIALER, ceiling=kept), accepter, NOW)
    for hours in (1, 2, 3):
        exchange(identity(DIALER, ceiling=kept), accepter, NOW - hours * 3600 * SECOND)
    with pytest.raises(Lie, match="counter is not above"):
        exchange(identity(DIALER), accepter, NOW - 3600 * SECOND)


def test_no_counter_is_used_before_a_ceiling_above_it_is_durable() -> None:
    kept = Kept()
    counters = Counters(kept)
    used = [counters.next(NOW + step * SECOND) for step in range(25)]
    assert used == sorted(set(used))
    assert kept.writes == [NOW + RESERVED_AHEAD, NOW + 11 * SECOND + RESERVED_AHEAD, NOW + 22 * SECOND + RESERVED_AHEAD]

    class Failing(Kept):
        def raise_to(self, ceiling: int) -> None:
            raise OSError

    with pytest.raises(OSError):
        Counters(Failing()).next(NOW)
