"""What machines write, byte for byte: snapshots outlive releases, and replicas of two releases must agree."""

from __future__ import annotations

import pytest

from outvote.core.contract import Struct
from outvote.machines import executor, key_value, machine, operations, sessions, state_transfer, value_types
from outvote.machines.executor import Executor
from outvote.machines.key_value import KeyValueStore
from outvote.machines.machine import StateMachine, command
from outvote.machines.operations import TOO_LARGE, encode_failed
from outvote.machines.state_transfer import FetchManifest, FetchPart, Manifest, Part, manifest_digest
from outvote.types import SECOND


class Number(StateMachine):
    value: int = 0

    @command
    def set(self, value: int) -> None:
        self.value = value


def test_the_layouts_of_a_snapshot() -> None:
    one = Number()
    assert one.snapshot() == b"\x93\x01\x91\xa5value\x91\x00"
    one.value = 1 << 70
    wide = one.snapshot()
    assert wide[:9] == b"\x93\x02\x91\xa5value"
    again = Number()
    again.restore(wide)
    assert again.value == 1 << 70
    assert (machine._PLAIN, machine._WIDE, machine._WIDE_MARK) == (1, 2, b"\x02")
    assert (value_types._WIDE_INT, value_types._WIDE_DICT) == (1, 2)


@pytest.mark.parametrize(
    ("value", "hexadecimal"),
    [
        (1 << 64, "c70901" + "010000000000000000"),
        (-(1 << 63) - 1, "c70901" + "ff7fffffffffffffff"),
        ((1 << 64) - 1, "cf" + "ff" * 8),
        (-(1 << 63), "d380" + "00" * 7),
    ],
)
def test_wide_integers_are_extensions_and_others_are_not(value: int, hexadecimal: str) -> None:
    written = value_types.encode_wide(value)
    assert written.hex() == hexadecimal
    assert value_types.decode_wide(written, int) == value


def test_wide_dicts_keep_keys_of_every_kind() -> None:
    value = {(1, 2): 1 << 80, (3, 4): -(1 << 80)}
    written = value_types.encode_wide(value)
    assert written[:1] in (b"\xc7", b"\xc8")
    assert value_types.decode_wide(written, dict[tuple[int, int], int]) == value
    with pytest.raises(ValueError, match="unknown kind"):
        value_types.decode_wide(b"\xd4\x03\x00", int)


@pytest.mark.parametrize(("kind", "tag"), [(FetchManifest, 100), (Manifest, 101), (FetchPart, 102), (Part, 103)])
def test_a_tag_never_changes(kind: type[Struct], tag: int) -> None:
    assert kind.__struct_config__.tag == tag


EMPTY = "3b7d4b44cc3d95ca721c56f78c4ab2d16d0dad489194dedf8815e5833a164745"


def test_a_whole_state_has_the_same_digest_in_every_release() -> None:
    fresh = Executor(KeyValueStore()).checkpoint()
    assert fresh.digest == manifest_digest(fresh.data)
    assert fresh.data.startswith(b"\x96\x01\x00\xc4\x20" + bytes(32) + b"\x00\xc4\x01\x90")
    assert executor.SNAPSHOT_VERSION == 1
    assert manifest_digest(b"").hex() == EMPTY


def test_the_limits() -> None:
    assert state_transfer.PART_BYTES == 256 * 1024
    assert state_transfer.PARTS_MAX == 10_000
    assert (state_transfer.ASKED_MAX, state_transfer.ASKED_OF_ONE_MAX, state_transfer.HELD_MAX) == (8, 4, 4)
    assert (state_transfer.STALL_NS, state_transfer.REST_NS) == (2 * SECOND, 8 * SECOND)
    assert sessions.KEPT_BYTES_MAX == 1024 * 1024
    assert key_value._CHANGES_MAX == 256
    assert operations.NAME_BYTES_MAX == 255
    assert encode_failed("ResultTooLarge") == TOO_LARGE
