"""Keyed channels as bytes: what the wire could do to records, and when old keys end. No sockets, no waiting."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from outvote.configuration.files import create_cluster, load_replica_keys
from outvote.crypto.key_exchange import Identity
from outvote.crypto.keys import signing_key_from_seed
from outvote.crypto.seals import Ed25519Opener, Ed25519Sealer, domain
from outvote.errors import Lie, OtherVersion
from outvote.transport import keyed
from outvote.transport.keyed import HEADER_BYTES, RECORD_BYTES_MAX, KeyedChannel, KeyedSide
from outvote.transport.tls import PinnedCertificates, TlsSide

DIALER, ACCEPTER = 0, 1
MAC_BYTES = 16
FORMATS = ("outvote/1",)


def identity(party: int, formats: tuple[str, ...] = FORMATS) -> Identity:
    seal_domain = domain(bytes(32), 0)
    keys = {number: signing_key_from_seed(bytes((number + 1,)) * 32) for number in range(3)}
    opener = Ed25519Opener(seal_domain, {number: key.public for number, key in keys.items()})
    return Identity(party, seal_domain, Ed25519Sealer(seal_domain, keys[party]), opener, formats)


def settle(first: KeyedChannel, second: KeyedChannel) -> tuple[bytes, bytes]:
    """Carry bytes to and fro until nothing is left to carry; the plaintext that came to each."""
    came = [b"", b""]
    ends = (first, second)
    while any(end.waiting for end in ends):
        for index in (0, 1):
            came[1 - index] += ends[1 - index].receive(ends[index].take())
    return came[0], came[1]


def pair() -> tuple[KeyedChannel, KeyedChannel]:
    dialer = KeyedSide(identity(DIALER), ACCEPTER).open()
    accepter = KeyedSide(identity(ACCEPTER), None).open()
    settle(dialer, accepter)
    assert dialer.established
    assert accepter.established
    assert (dialer.identity(), accepter.identity()) == (ACCEPTER, DIALER)
    return dialer, accepter


def test_the_best_wire_format_that_both_speak_is_taken() -> None:
    """One replica is upgraded, the next is not yet."""
    newer = ("outvote/2", "outvote/1")
    for dials, accepts in ((newer, FORMATS), (FORMATS, newer)):
        dialer = KeyedSide(identity(DIALER, dials), ACCEPTER).open()
        accepter = KeyedSide(identity(ACCEPTER, accepts), None).open()
        assert dialer.format == accepter.format == ""
        settle(dialer, accepter)
        assert dialer.format == accepter.format == "outvote/1"
        assert accepter.receive(dialer.encrypt(b"one")) == b"one"


def test_no_wire_format_in_common_is_refused_by_both_with_a_sentence() -> None:
    dialer = KeyedSide(identity(DIALER, ("outvote/9",)), ACCEPTER).open()
    accepter = KeyedSide(identity(ACCEPTER), None).open()
    with pytest.raises(OtherVersion, match="party 0 speaks outvote/9, and this one outvote/1; install the same"):
        accepter.receive(dialer.take())
    with pytest.raises(OtherVersion, match="version of outvote: party 1 speaks outvote/1, and this one outvote/9"):
        dialer.receive(accepter.take())
    assert not dialer.established
    assert not accepter.established


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyed, "REFRESH_PAUSE_S", 0.0)


def test_both_directions_carry_what_was_said() -> None:
    dialer, accepter = pair()
    assert accepter.receive(dialer.encrypt(b"one") + dialer.encrypt(b"two")) == b"onetwo"
    assert dialer.receive(accepter.encrypt(b"three")) == b"three"
    large = bytes(range(256)) * 5000
    assert len(large) > 4 * RECORD_BYTES_MAX
    assert accepter.receive(dialer.encrypt(large)) == large
    assert dialer.keys == accepter.keys is not None


@pytest.mark.parametrize("size", [1, 3, 4, 7, 100])
def test_records_in_pieces_of_any_size_are_put_together(size: int) -> None:
    dialer, accepter = pair()
    stream = b"".join(dialer.encrypt(bytes((number,)) * number) for number in range(60))
    came = [accepter.receive(stream[at : at + size]) for at in range(0, len(stream), size)]
    assert b"".join(came) == b"".join(bytes((number,)) * number for number in range(60))
    assert not accepter.cut


Attack = Callable[[bytes, bytes, bytes], bytes]
ON_THE_WIRE: dict[str, Attack] = {
    "replayed": lambda first, second, _: first + first + second,
    "reordered": lambda first, second, _: second + first,
    "left out": lambda _first, second, _: second,
    "body altered": lambda first, second, _: first[:5] + bytes((first[5] ^ 1,)) + first[6:] + second,
    "kind altered": lambda first, second, _: b"\x05" + first[1:] + second,
    "MAC altered": lambda first, second, _: first[:-1] + bytes((first[-1] ^ 0x80,)) + second,
    "shortened": lambda first, _second, _: b"\x00\x00\x00\x04" + first[HEADER_BYTES : HEADER_BYTES + 4] + first[-16:],
    "reflected": lambda _first, _second, own: own,
    "without a MAC": lambda first, _second, _: first[:-MAC_BYTES] + bytes(MAC_BYTES),
}


@pytest.mark.parametrize("attack", list(ON_THE_WIRE.values()), ids=list(ON_THE_WIRE))
def test_a_record_that_was_tampered_with_is_refused(attack: Attack) -> None:
    dialer, accepter = pair()
    first, second = dialer.encrypt(b"first words"), dialer.encrypt(b"second words")
    with pytest.raises(Lie, match="without its MAC"):
        accepter.receive(attack(first, second, accepter.encrypt(b"first words")))


def test_a_truncated_record_is_never_handed_over() -> None:
    dialer, accepter = pair()
    record = dialer.encrypt(b"all or nothing")
    assert accepter.receive(record[:-1]) == b""
    assert accepter.cut
    assert accepter.receive(record[-1:]) == b"all or nothing"
    assert not accepter.cut


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\x00\x00\x01x",  # data before anybody has proven anything
        b"\x02" + (160).to_bytes(3, "big") + bytes(160),
        b"\x03" + (64).to_bytes(3, "big") + bytes(64),
        b"\x04\x00\x00\x00",
        b"\x05\x00\x00\x00",
        b"\x01\x00\x00\x00",
        b"\x01\xff\xff\xff",
        b"\x01\x00\x01\x01",  # announces more than an offer can have
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00",  # TLS
    ],
)
def test_a_stranger_ends_its_own_connection(garbage: bytes) -> None:
    channel = KeyedSide(identity(ACCEPTER), None).open()
    with pytest.raises(Lie):
        channel.receive(garbage)
    assert not channel.established


def test_a_large_record_is_refused_before_it_is_kept() -> None:
    dialer, accepter = pair()
    with pytest.raises(Lie, match="a record of"):
        accepter.receive((RECORD_BYTES_MAX + 1).to_bytes(4, "big"))
    assert dialer.established


def test_a_man_in_the_middle_without_an_identity_key_gets_nowhere() -> None:
    """He runs the exchange with his own ephemeral key in both directions, and can sign for neither."""
    dialer = KeyedSide(identity(DIALER), ACCEPTER).open()
    accepter = KeyedSide(identity(ACCEPTER), None).open()
    middle_as_dialer = KeyedSide(Identity(DIALER, *_other_key()), ACCEPTER).open()
    middle_as_accepter = KeyedSide(Identity(ACCEPTER, *_other_key()), None).open()
    with pytest.raises(Lie, match="did not sign"):
        accepter.receive(middle_as_dialer.take())
    middle_as_accepter.receive(dialer.take())
    with pytest.raises(Lie, match="did not sign"):
        dialer.receive(middle_as_accepter.take())


def _other_key() -> tuple[bytes, Ed25519Sealer, Ed25519Opener, tuple[str, ...]]:
    own = identity(2)
    seal_domain = domain(bytes(32), 0)
    assert isinstance(own.opener, Ed25519Opener)
    return seal_domain, Ed25519Sealer(seal_domain, signing_key_from_seed(b"m" * 32)), own.opener, FORMATS


def test_a_middle_that_only_passes_on_the_exchange_has_no_keys() -> None:
    dialer, accepter = pair()
    with pytest.raises(Lie, match="without its MAC"):
        accepter.receive(b"\x00\x00\x00\x04evil" + bytes(MAC_BYTES))
    assert dialer.keys is not None


def test_after_a_refresh_what_was_recorded_is_refused(no_pause: None) -> None:
    dialer, accepter = pair()
    recorded = [dialer.encrypt(b"old %d" % number) for number in range(3)]
    assert accepter.receive(recorded[0]) == b"old 0"
    assert accepter.receive(recorded[1]) + accepter.receive(recorded[2]) == b"old 1old 2"
    before = accepter.keys
    dialer.refresh()
    settle(dialer, accepter)
    assert accepter.keys is not before
    assert accepter.keys == dialer.keys
    assert accepter.receive(dialer.encrypt(b"new")) == b"new"
    # The counts begin anew with a refresh, so this one has the right count and the wrong key.
    with pytest.raises(Lie, match="old keys"):
        accepter.receive(recorded[1])


@pytest.mark.parametrize("asks", ["dialer", "accepter"])
def test_a_refresh_loses_nothing_that_is_under_way(no_pause: None, asks: str) -> None:
    dialer, accepter = pair()
    (dialer if asks == "dialer" else accepter).refresh()
    said: list[list[bytes]] = [[], []]
    came = [b"", b""]
    ends = (dialer, accepter)
    for number in range(12):
        for index in (0, 1):
            word = b"<%d>" % number
            said[index].append(word)
            came[1 - index] += ends[1 - index].receive(ends[index].encrypt(word))
    rest = settle(dialer, accepter)
    assert came[1] + rest[1] == b"".join(said[0])
    assert came[0] + rest[0] == b"".join(said[1])
    assert dialer.keys == accepter.keys


def test_refreshes_are_not_had_faster_than_allowed() -> None:
    dialer, accepter = pair()
    dialer.refresh()
    assert not dialer.waiting  # too soon: the peer would call it a lie
    dialer._ended_at = float("-inf")
    dialer.refresh()
    with pytest.raises(Lie, match="twice within a second"):
        accepter.receive(dialer.take())


def test_a_goodbye_ends_in_order_and_cannot_be_forged() -> None:
    dialer, accepter = pair()
    dialer.goodbye()
    accepter.receive(dialer.take())
    assert accepter.finished
    dialer, accepter = pair()
    with pytest.raises(Lie):
        accepter.receive(b"\x05\x00\x00\x00" + bytes(MAC_BYTES))


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[TlsSide, TlsSide, TlsSide]:
    """Dialing sides of replica 0 and replica 2, and the accepting side of replica 1."""
    directory = tmp_path_factory.mktemp("keyed") / "cluster"
    genesis = create_cluster(directory, name="keyed", machine="m:M", replicas=3)
    pinned = PinnedCertificates(genesis.certificates())
    keys = [load_replica_keys(directory, number, genesis) for number in range(3)]
    return (
        TlsSide(pinned.dialing_context(keys[DIALER]), pinned, accepting=False),
        TlsSide(pinned.dialing_context(keys[2]), pinned, accepting=False),
        TlsSide(pinned.accepting_context(keys[ACCEPTER]), pinned, accepting=True),
    )


def test_above_tls_the_same_exchange_gives_keys_and_no_macs(
    tls: tuple[TlsSide, TlsSide, TlsSide], no_pause: None
) -> None:
    dialer = KeyedSide(identity(DIALER), ACCEPTER, tls[0]).open()
    accepter = KeyedSide(identity(ACCEPTER), None, tls[2]).open()
    dialer.receive(b"")
    settle(dialer, accepter)
    assert dialer.keys == accepter.keys is not None
    assert (dialer.identity(), accepter.identity()) == (ACCEPTER, DIALER)
    assert accepter.receive(dialer.encrypt(b"x" * 300_000)) == b"x" * 300_000
    before = dialer.keys
    accepter.refresh()
    settle(dialer, accepter)
    assert before != dialer.keys == accepter.keys


def test_above_tls_certificate_and_identity_key_must_be_one_partys(tls: tuple[TlsSide, TlsSide, TlsSide]) -> None:
    dialer = KeyedSide(identity(DIALER), ACCEPTER, tls[1]).open()
    accepter = KeyedSide(identity(ACCEPTER), None, tls[2]).open()
    dialer.receive(b"")
    with pytest.raises(Lie, match="where party 2 should speak"):
        settle(dialer, accepter)
