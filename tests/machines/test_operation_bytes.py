"""Operations and outcomes byte by byte: every msgpack marker's extent, and the bounds of what is an operation."""

from __future__ import annotations

import msgspec
import pytest

from outvote.errors import Lie, Refused
from outvote.machines.operations import (
    DONE,
    FAILED,
    INVALID,
    NAME_BYTES_MAX,
    NESTING_MAX,
    REASON_CHARACTERS_MAX,
    REJECTED,
    decode_outcome,
    encode_done,
    encode_failed,
    encode_invalid,
    encode_operation,
    encode_rejected,
    header,
    nested_too_deep,
    operation_name,
    outcome_kind,
    outcome_reason,
    split_operation,
)

SCALARS: dict[str, bytes] = {
    "fixint 0": b"\x00", "fixint 127": b"\x7f", "fixint -1": b"\xff", "fixint -32": b"\xe0",
    "nil": b"\xc0", "unused": b"\xc1", "false": b"\xc2", "true": b"\xc3",
    "float32": b"\xca" + bytes(4), "float64": b"\xcb" + bytes(8),
    "uint8": b"\xcc\x00", "uint16": b"\xcd" + bytes(2), "uint32": b"\xce" + bytes(4), "uint64": b"\xcf" + bytes(8),
    "int8": b"\xd0\x00", "int16": b"\xd1" + bytes(2), "int32": b"\xd2" + bytes(4), "int64": b"\xd3" + bytes(8),
    "fixext1": b"\xd4" + bytes(2), "fixext2": b"\xd5" + bytes(3), "fixext4": b"\xd6" + bytes(5),
    "fixext8": b"\xd7" + bytes(9), "fixext16": b"\xd8" + bytes(17),
    "fixstr 0": b"\xa0", "fixstr 1": b"\xa1x", "fixstr 31": b"\xbf" + b"x" * 31,
    "bin8": b"\xc4\x03abc", "bin16": b"\xc5\x01\x02" + bytes(258), "bin32": b"\xc6\x00\x00\x00\x05" + bytes(5),
    "bin32 long": b"\xc6\x00\x01\x00\x01" + bytes(65537),
    "ext8": b"\xc7\x03\x07abc", "ext16": b"\xc8\x01\x02\x07" + bytes(258),
    "ext32": b"\xc9\x00\x00\x00\x05\x07" + bytes(5),
    "str8": b"\xd9\x03abc", "str16": b"\xda\x01\x02" + b"x" * 258, "str32": b"\xdb\x00\x00\x00\x05" + b"x" * 5,
}


def deep(levels: int) -> bytes:
    return b"\x91" * levels + b"\xc0"


@pytest.mark.parametrize("name", list(SCALARS))
def test_a_scalar_is_as_long_as_its_marker_says(name: str) -> None:
    """What stands behind it would be read wrongly if it were taken for longer or shorter."""
    scalar = SCALARS[name]
    assert not nested_too_deep(scalar)
    assert nested_too_deep(scalar[:-1]) is (len(scalar) > 1)
    assert not nested_too_deep(b"\x92" + scalar + deep(NESTING_MAX - 1))
    assert nested_too_deep(b"\x92" + scalar + deep(NESTING_MAX))
    assert nested_too_deep(b"\x92" + scalar), "one value is missing"
    assert not nested_too_deep(b"\x92" + scalar + b"\xc0")
    assert not nested_too_deep(b"\x91" + scalar)
    assert not nested_too_deep(b"\x91" * NESTING_MAX + scalar), "it is no level itself"


CONTAINERS: dict[str, tuple[bytes, int]] = {  # head, values in it
    "fixarray 1": (b"\x91", 1), "fixarray 15": (b"\x9f", 15), "fixmap 1": (b"\x81", 2), "fixmap 15": (b"\x8f", 30),
    "array16": (b"\xdc\x00\x03", 3), "array16 long": (b"\xdc\x01\x02", 258), "array32": (b"\xdd\x00\x00\x00\x02", 2),
    "array32 long": (b"\xdd\x00\x01\x00\x01", 65537), "map16": (b"\xde\x00\x02", 4),
    "map16 long": (b"\xde\x01\x01", 514),
    "map32": (b"\xdf\x00\x00\x00\x01", 2), "map32 long": (b"\xdf\x00\x01\x00\x00", 131072),
}


@pytest.mark.parametrize("name", list(CONTAINERS))
def test_a_container_holds_as_many_values_as_its_marker_says(name: str) -> None:
    head, count = CONTAINERS[name]
    values = b"\xc0" * (count - 1)
    assert not nested_too_deep(head + values + b"\xc0")
    assert nested_too_deep(head + values)
    assert not nested_too_deep(head + values + deep(NESTING_MAX - 1))
    assert nested_too_deep(head + values + deep(NESTING_MAX))
    assert not nested_too_deep(b"\x92" + head + values + b"\xc0" + deep(NESTING_MAX - 1))
    assert nested_too_deep(b"\x92" + head + values + b"\xc0" + deep(NESTING_MAX))
    assert nested_too_deep(head[:1] if len(head) > 1 else head)


@pytest.mark.parametrize("head", [b"\x90", b"\x80", b"\xdc\0\0", b"\xdd\0\0\0\0", b"\xde\0\0", b"\xdf\0\0\0\0"])
def test_an_empty_container_counts_as_a_level(head: bytes) -> None:
    assert not nested_too_deep(head)
    assert not nested_too_deep(b"\x91" * (NESTING_MAX - 1) + head)
    assert nested_too_deep(b"\x91" * NESTING_MAX + head)
    assert not nested_too_deep(b"\x92" + head + b"\xc0")
    assert nested_too_deep(b"\x92" + head)


def test_nesting_has_a_limit_of_16() -> None:
    assert NESTING_MAX == 16
    assert not nested_too_deep(deep(16))
    assert nested_too_deep(deep(17))
    assert not nested_too_deep(b"")
    assert not nested_too_deep(b"\xc0\x91\x91"), "what stands behind the value is not looked at"


# ---------------------------------------------------------------------- operations


@pytest.mark.parametrize("length", [1, 31, 32, 100, 255])
def test_an_operation_is_split_behind_its_name(length: int) -> None:
    name = "n" * length
    operation = encode_operation(name, [1, "x"])
    found, end = split_operation(operation)
    assert found == header(name)
    assert msgspec.msgpack.decode(operation[end:]) == [1, "x"]
    assert operation_name(operation) == name
    assert NAME_BYTES_MAX == 255


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x92", b"\x92\xa0", b"\x92\xa1", b"\x92\xa1x", b"\x92\xd9", b"\x92\xd9\x20", b"\x92\xd9\x01x",
        b"\x91\xa1x\x90", b"\x93\xa1x\x90", b"\x92\x9f\xa1x\x90", b"\x92\xc0\x90\x90", b"\x92\xc4\x01x\x90",
        b"\x92\xda\x00\x01x\x90", b"\x92\xa2x\x90", b"\x92\xbf" + b"x" * 31,
        b"\x92\x9f" + b"x" * 40, b"\x92\xc0" + b"x" * 40,
    ],
)  # fmt: skip
def test_what_is_no_operation_has_no_name(data: bytes) -> None:
    assert split_operation(data) == (b"", 0)
    assert operation_name(data) == ""


def test_the_shortest_operations_have_a_name() -> None:
    assert split_operation(b"\x92\xa0\x90") == (b"\xa0", 2)
    assert split_operation(b"\x92\xa1x\x90") == (b"\xa1x", 3)
    assert split_operation(b"\x92\xd9\x01x\x90") == (b"\xd9\x01x", 4)
    assert split_operation(b"\x92\xd9\x00\x90") == (b"\xd9\x00", 3)
    assert operation_name(b"\x92\xa1\xff\x90") == "", "no text"


# ---------------------------------------------------------------------- outcomes


def test_each_outcome_has_its_kind_and_reason() -> None:
    assert (DONE, REJECTED, FAILED, INVALID) == (0, 1, 2, 3)
    for outcome, kind, reason in (
        (encode_rejected("why"), REJECTED, "why"),
        (encode_failed("KeyError"), FAILED, "the command raised KeyError"),
        (encode_invalid("what"), INVALID, "what"),
    ):
        assert outcome_kind(outcome) == kind
        assert outcome_reason(outcome) == reason
        with pytest.raises(Refused, match=reason):
            decode_outcome(outcome, int)
    assert outcome_kind(encode_done(5)) == DONE
    assert decode_outcome(encode_done(5), int) == 5
    assert decode_outcome(encode_done(5), msgspec.msgpack.Decoder(int)) == 5
    with pytest.raises(Lie, match="result type"):
        decode_outcome(encode_done(5), str)


@pytest.mark.parametrize("data", [b"", b"\x92", b"\x92\x00", b"\x91\x00\xc0", b"\x93\x00\xc0\xc0", b"\x92\x04\xa1x"])
def test_what_is_no_outcome_is_a_lie(data: bytes) -> None:
    with pytest.raises(Lie):
        outcome_kind(data)
    assert outcome_kind(b"\x92\x03\xa1x") == INVALID


def test_a_reason_that_is_no_text_is_a_lie() -> None:
    for data in (b"\x92\x01\x05", b"\x92\x01\xa1\xff", b"\x92\x01\xa5x"):
        with pytest.raises(Lie, match="without a readable reason"):
            outcome_reason(data)


def test_reasons_and_names_are_cut() -> None:
    assert REASON_CHARACTERS_MAX == 1000
    assert outcome_reason(encode_rejected("é" * 1001)) == "é" * 1000
    assert outcome_reason(encode_failed("E" * 101)) == "the command raised " + "E" * 100
    assert outcome_reason(encode_rejected("\ud800")) == "\\ud800"
