"""What machines write, byte for byte: snapshots outlive releases, and replicas of two releases must agree."""

from __future__ import annotations

from zlib import crc32

import pytest

from outvote.core.contract import Struct
from outvote.machines import (
    executor,
    item_form,
    key_value,
    leaves,
    machine,
    merkle_image,
    merkle_map,
    operations,
    sessions,
    state_transfer,
    value_types,
)
from outvote.machines.executor import Executor
from outvote.machines.key_value import Entry, KeyValueStore
from outvote.machines.machine import StateMachine, command
from outvote.machines.merkle_map import EMPTY, MerkleMap
from outvote.machines.operations import TOO_LARGE, encode_failed
from outvote.machines.state_transfer import FetchNodes, Nodes
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


@pytest.mark.parametrize(("kind", "tag"), [(FetchNodes, 100), (Nodes, 101)])
def test_a_tag_never_changes(kind: type[Struct], tag: int) -> None:
    assert kind.__struct_config__.tag == tag


FRESH = "39aaa9726d2f1b4125624c897dacdac2fa5393c246a7d1857e813d6607f7e0b6"


def test_a_whole_state_has_the_same_digest_in_every_release() -> None:
    fresh = Executor(KeyValueStore()).checkpoint()
    assert fresh.digest == fresh.state.digest
    assert fresh.data.startswith(b"OVPG")
    assert executor.SNAPSHOT_VERSION == 3
    assert fresh.digest.hex() == FRESH


def test_every_leaf_has_its_name() -> None:
    store = KeyValueStore()
    written = Executor(store)
    store.entries["key"] = Entry("value", 7)
    assert {leaf.key: leaf.value for leaf in written.checkpoint().state.leaves()} == {
        b"\0\0h": b"\0\1" + b"\x95\x03\x00\xc4\x20" + bytes(32) + b"\x00\xc4\x20" + bytes(32),
        b"\0\0n": b"\0\1" + b"\x93\xa7entries\xa8revision\xacstored_bytes",
        b"\0\0f\0\0": b"\0\1" + b"\x92\x01\x01",
        b"\0\0i\0\0\xa3key": b"\0\1" + bytes(6) + b"\x92\xa5value\x07",
        b"\0\0f\0\1": b"\0\1" + b"\x00",
        b"\0\0f\0\2": b"\0\1" + b"\x00",
    }


def test_an_image_byte_for_byte() -> None:
    state = EMPTY.update({b"k": b"value"})
    leaf = b"\0\1k" + b"\0\0\0\5value"
    assert merkle_image.write_image(state) == b"OVPG" + b"\0\0\0\x0c" + crc32(leaf).to_bytes(4, "big") + leaf
    assert merkle_image.write_image(MerkleMap()) == b""


def test_the_limits() -> None:
    assert (merkle_map.KEY_BYTES_MAX, merkle_map.VALUE_BYTES_MAX, merkle_map.BRANCHES) == (2048, 64 * 1024, 16)
    assert (leaves.PIECE_BYTES, leaves.STATE_BYTES_MAX) == (64 * 1024 - 2, 2 << 30)
    assert (merkle_image.PAGE_BYTES, item_form.INLINE_KEY_BYTES_MAX) == (4096, 1536)
    assert (state_transfer.ANSWER_BYTES, state_transfer.SUBTREE_BYTES) == (256 * 1024, 32 * 1024)
    assert (state_transfer.ASKS_MAX, state_transfer.ASKS_MIN, state_transfer.HINT_BYTES) == (256, 16, 2)
    assert (state_transfer.ASKED_MAX, state_transfer.ASKED_OF_ONE_MAX, state_transfer.HELD_MAX) == (8, 4, 4)
    assert (merkle_map.BUCKET_LEAVES_MAX, merkle_map.BUCKET_BYTES_MAX) == (64, 8 * 1024)
    assert (state_transfer.LEAF_HINT_BYTES, state_transfer.GROUP_BYTES) == (2, 64 * 1024)
    assert (state_transfer.STALL_NS, state_transfer.RESTS) == (2 * SECOND, 4)
    assert sessions.KEPT_BYTES_MAX == 1024 * 1024
    assert key_value._CHANGES_MAX == 256
    assert operations.NAME_BYTES_MAX == 255
    assert encode_failed("ResultTooLarge") == TOO_LARGE
