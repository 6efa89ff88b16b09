"""The codec takes exactly what it gives; anything else, random or nearly right, is a Lie and no other error."""

from __future__ import annotations

import random

import msgspec
import pytest

from outvote.core.contract import Hint, Message, Record, Struct
from outvote.errors import Lie, Rot
from outvote.wire.codec import Codec, RecordCodec

SEAL = bytes(range(64))


class Part(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    position: int
    digest: bytes


class Vote(Message, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=1):
    view: int
    parts: tuple[Part, ...]
    why: str


class Query(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=2):
    position: int


class SameTag(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=2):
    position: int


class Untagged(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    position: int


class Seen(Record, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=1):
    view: int


class Left(Record, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=2):
    view: int


VOTE = Vote(3, (Part(1, b"a"), Part(2**40, b"b" * 32)), "because")
pack = msgspec.msgpack.encode


def test_round_trip() -> None:
    codec = Codec([Vote, Query], epoch=5)
    assert codec.decode(codec.encode(VOTE, SEAL)) == (VOTE, SEAL)
    assert codec.decode(codec.encode(Query(9), b"")) == (Query(9), b"")


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "not a message"),
        (pack([4, SEAL, VOTE]), "a message of epoch 4 in epoch 5"),
        (pack([-5, SEAL, VOTE]), "a message of epoch -5"),
        (pack([5, b"", VOTE]), "a Vote with a seal of 0 bytes, where it has 64 bytes"),
        (pack([5, SEAL[:63], VOTE]), "a seal of 63 bytes"),
        (pack([5, SEAL + b"\0", VOTE]), "a seal of 65 bytes"),
        (pack([5, SEAL, Query(1)]), "a Query with a seal of 64 bytes, where it has none"),
        (pack([5, SEAL, VOTE]) + b"\0", "trailing"),
        (pack([5, SEAL, VOTE])[:-1], "truncated"),
        (pack([5, SEAL, VOTE, 1]), "length 3"),
        (pack([5, b"", [2, 9, 9]]), "at most length 1"),
        (pack([5, b"", [3, 9]]), "Invalid value 3"),
        (pack([5, b"", [2, "9"]]), "Expected `int`"),
        (pack([5, b"", [2, 2.0]]), "Expected `int`"),
        (pack([5, b"", 7]), "Expected `array`"),
        (b"\x93\x05\xc4\x00\x92\x02\xdd\xff\xff\xff\xff", "not a message"),
        (b"\x93\x05\xc6\xff\xff\xff\xff", "not a message"),
        (b"\x91" * 100_000, "not a message"),
        (b"\x93\x05\xc4\x00" + b"\x91" * 100_000, "not a message"),
        (b"\x93\x05\xc4\x40" + SEAL + b"\x94\x01\x03\x90\xa1\xff", "not a message"),
    ],
    ids=lambda value: value if isinstance(value, str) else "body",
)
def test_what_no_correct_replica_sends(body: bytes, sentence: str) -> None:
    with pytest.raises(Lie, match=sentence):
        Codec([Vote, Query], epoch=5).decode(body)


def test_random_and_mutated_bytes_raise_nothing_but_lies() -> None:
    draw = random.Random(7)
    codec = Codec([Vote, Query], epoch=5)
    valid = [codec.encode(VOTE, SEAL), codec.encode(Query(2**63), b"")]
    lies = 0
    for trial in range(20_000):
        if trial % 4 == 0:
            body = draw.randbytes(draw.randrange(120))
        else:
            mutable = bytearray(valid[trial % 2])
            for _ in range(draw.randrange(1, 5)):
                place = draw.randrange(len(mutable))
                action = draw.randrange(4)
                if action == 0:
                    mutable[place] = draw.randrange(256)
                elif action == 1 and len(mutable) > 1:
                    del mutable[place]
                elif action == 2:
                    mutable.insert(place, draw.randrange(256))
                else:
                    mutable[place:] = mutable[: len(mutable) - place]
            body = bytes(mutable)
        try:
            message, seal = codec.decode(body)
        except Lie:
            lies += 1
        else:
            assert codec.decode(codec.encode(message, seal)) == (message, seal)
    assert lies > 10_000


def test_record_round_trip_and_rot() -> None:
    codec = RecordCodec([Seen, Left])
    assert codec.decode(codec.encode(Seen(4))) == Seen(4)
    assert codec.decode(codec.encode(Left(4))) == Left(4)
    draw = random.Random(8)
    for body in (b"", pack([3, 4]), pack([1, "x"]), pack([1, 4, 4]), *(draw.randbytes(9) for _ in range(300))):
        with pytest.raises(Rot, match="a stored record is not of this protocol and version"):
            codec.decode(body)


def test_tables_with_ambiguous_tags_are_refused() -> None:
    with pytest.raises(ValueError, match="SameTag and Query share the tag 2"):
        Codec([Vote, Query, SameTag], epoch=0)
    with pytest.raises(ValueError, match="Untagged needs an integer tag"):
        Codec([Untagged], epoch=0)
    with pytest.raises(ValueError, match="at least one"):
        RecordCodec([])


def other_forms(body: bytes) -> list[bytes]:
    """Every encoding that writes one number, text, byte string or array of `body` in a longer or another way, all of
    them with the same meaning in msgpack."""
    found: list[bytes] = []
    place = 0
    while place < len(body):
        first = body[place]
        head, length, others = 1, 0, []
        if first <= 0x7F:
            others = [b"\xcc" + body[place : place + 1], b"\xd0" + body[place : place + 1], b"\xcd\0" + bytes([first])]
        elif 0x90 <= first <= 0x9F:
            others = [b"\xdc\0" + bytes([first & 15]), b"\xdd\0\0\0" + bytes([first & 15])]
        elif 0xA0 <= first <= 0xBF:
            length = first & 31
            others = [b"\xd9" + bytes([length]), b"\xda\0" + bytes([length]), b"\xc4" + bytes([length])]
        elif first in (0xC4, 0xD9):
            head, length = 2, body[place + 1]
            wider, widest = {0xC4: (b"\xc5", b"\xc6"), 0xD9: (b"\xda", b"\xdb")}[first]
            others = [wider + b"\0" + body[place + 1 : place + 2], widest + b"\0\0\0" + body[place + 1 : place + 2]]
        elif first in (0xC5, 0xDA):
            head, length = 3, int.from_bytes(body[place + 1 : place + 3], "big")
            others = [bytes([first + 1]) + bytes(2) + body[place + 1 : place + 3]]
        elif first in (0xC6, 0xDB):
            head, length = 5, int.from_bytes(body[place + 1 : place + 5], "big")
        elif first in (0xCC, 0xCD, 0xCE, 0xCF):
            size = 1 << (first - 0xCC)
            head = 1 + size
            number = body[place + 1 : place + head]
            if first != 0xCF:
                others = [bytes([first + 1]) + bytes(size) + number]
            if number[0] < 0x80:
                others.append(bytes([first + 4]) + number)  # signed, and just as long
        found += [body[:place] + other + body[place + head :] for other in others]
        place += head + length
    return found


def meaning(body: bytes) -> object:
    return msgspec.msgpack.decode(body)


def test_a_message_has_one_valid_form_only() -> None:
    codec = Codec([Vote, Query], epoch=5)
    wide = Vote(300, (Part(2**16, b"x" * 40), Part(2**40, b"")), "y" * 33)
    tried = 0
    for message, seal in ((VOTE, SEAL), (wide, SEAL), (Query(70_000), b"")):
        body = codec.encode(message, seal)
        assert codec.decode(body) == (message, seal)
        for other in other_forms(body):
            if meaning(other) == meaning(body):
                tried += 1
            with pytest.raises(Lie):
                codec.decode(other)
    assert tried > 50


def test_every_bit_that_is_flipped_is_another_message_or_none() -> None:
    """Nothing that differs decodes to the same: what follows from a flipped bit is seen, by the seal or as a lie."""
    codec = Codec([Vote, Query], epoch=5)
    body = codec.encode(VOTE, SEAL)
    for place in range(8 * len(body)):
        flipped = bytearray(body)
        flipped[place // 8] ^= 1 << place % 8
        try:
            assert codec.decode(bytes(flipped)) != (VOTE, SEAL)
        except Lie:
            continue
