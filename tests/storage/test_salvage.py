"""What nobody vouches for is not thrown away: damaged snapshots, and states of which a crash interrupted the fetch."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from outvote.storage import snapshots
from outvote.storage.directory import DirectoryDisk
from outvote.storage.memory import MemoryDisk
from outvote.storage.snapshots import ASIDE_NAME, HEADER_BYTES, snapshot_name

CLUSTER = bytes(32)
STATE = b"a state of a hundred bytes or so " * 3


def a_disk(path: Path) -> DirectoryDisk:
    return DirectoryDisk(path, CLUSTER, 0, sync="inline")


def keep(disk: DirectoryDisk | MemoryDisk, position: int) -> None:
    disk.keep(position, sha256(STATE).digest(), STATE, [b"head"])


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_what_was_set_aside_is_there_after_a_crash_and_gone_after_the_next_snapshot(tmp_path: Path) -> None:
    disk = a_disk(tmp_path)
    assert disk.recover().salvage == b""
    disk.set_aside(b"one ")
    disk.set_aside(b"two ")
    disk.close()
    again = a_disk(tmp_path)
    assert again.recover().salvage == b"one two "
    again.set_aside(b"three")
    again.close()
    last = a_disk(tmp_path)
    assert last.recover().salvage == b"one two three"
    keep(last, 4)
    assert not (tmp_path / ASIDE_NAME).exists()
    last.set_aside(b"new")
    last.close()
    assert a_disk(tmp_path).recover().salvage == b"new"


def test_a_memory_disk_does_the_same() -> None:
    disk = MemoryDisk()
    disk.set_aside(b"one ")
    disk.set_aside(b"two")
    assert disk.recover().salvage == b"one two"
    keep(disk, 4)
    assert disk.recover().salvage == b""


def test_not_more_is_set_aside_than_a_state_can_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "SNAPSHOT_BYTES_MAX", 10)
    disk = a_disk(tmp_path)
    disk.recover()
    for _ in range(5):
        disk.set_aside(b"1234")
    disk.close()
    assert a_disk(tmp_path).recover().salvage == b"12341234"


def test_a_good_snapshot_hides_a_damaged_one_and_no_good_one_gives_it_back(tmp_path: Path) -> None:
    disk = a_disk(tmp_path)
    disk.recover()
    for position in (4, 8):
        keep(disk, position)
    disk.close()
    flip(tmp_path / snapshot_name(2), HEADER_BYTES + 5)
    older = a_disk(tmp_path)
    recovered = older.recover()
    assert (recovered.position, recovered.salvage) == (4, b"")
    older.close()
    flip(tmp_path / snapshot_name(1), HEADER_BYTES + 5)
    nothing = a_disk(tmp_path)
    recovered = nothing.recover()
    assert (recovered.position, recovered.snapshot) == (0, b"")
    assert recovered.salvage == STATE[:5] + bytes([STATE[5] ^ 1]) + STATE[6:]
    nothing.close()
