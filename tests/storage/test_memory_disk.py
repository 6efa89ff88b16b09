"""Memory that forgets nothing between restarts, and keeps the contract."""

from __future__ import annotations

import pytest
from directories import digest

from outvote.errors import BrokenStorage, Mistake
from outvote.storage.contract import Recovered
from outvote.storage.memory import MemoryDisk


def test_what_was_written_survives_a_restart() -> None:
    disk = MemoryDisk()
    assert disk.recover() == Recovered(0, b"", b"", [])
    assert disk.append([b"a", b"b"], [b"n"]) == 1
    assert disk.append([], [b"m"]) == 1
    assert disk.durable == 1
    disk.close()
    with pytest.raises(BrokenStorage):
        disk.append([b"x"], [])
    disk.reopen()
    assert disk.durable == 0
    assert disk.recover().records == [b"a", b"b", b"n", b"m"]
    disk.keep(7, digest(b"s"), b"s", [b"head"])
    assert disk.append([b"c"], []) == 1
    disk.reopen()
    assert disk.recover() == Recovered(7, digest(b"s"), b"s", [b"head", b"c"])


def test_a_snapshot_needs_a_digest() -> None:
    with pytest.raises(Mistake, match="32 bytes"):
        MemoryDisk().keep(1, b"", b"s", [])
