"""The ceiling of a replica's NEW-KEY counters: durable, and never a reason to stop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from outvote.storage import ceiling as subject
from outvote.storage.ceiling import CEILING_NAME, DurableCeiling


def test_what_was_raised_is_read_by_the_next_process(tmp_path: Path) -> None:
    said: list[str] = []
    path = tmp_path / CEILING_NAME
    assert DurableCeiling(path, said.append).read() == 0
    for ceiling in (7, 1_700_000_000_000_000_000):
        DurableCeiling(path, said.append).raise_to(ceiling)
        assert DurableCeiling(path, said.append).read() == ceiling
    assert [entry.name for entry in tmp_path.iterdir()] == [CEILING_NAME]
    assert said == []


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut short": lambda data: data[:-1],
    "empty": lambda _: b"",
    "a bit": lambda data: bytes([data[0] ^ 1]) + data[1:],
    "too long": lambda data: data * 2,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=list(DAMAGE))
def test_damage_is_told_and_stops_nobody(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    said: list[str] = []
    path = tmp_path / CEILING_NAME
    kept = DurableCeiling(path, said.append)
    kept.raise_to(7)
    path.write_bytes(damage(path.read_bytes()))
    assert kept.read() == 0
    assert "damaged" in said[0]
    kept.raise_to(8)
    assert kept.read() == 8


def test_a_disk_that_fails_is_told_of(tmp_path: Path) -> None:
    said: list[str] = []
    kept = DurableCeiling(tmp_path / "missing" / CEILING_NAME, said.append)
    kept.raise_to(7)
    assert len(said) == 1
    assert "creating the file failed" in said[0]


def test_it_is_synced_before_it_has_its_name_and_the_name_after_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash in between leaves the older one: never half of one, never one that a power failure takes away."""
    path = tmp_path / CEILING_NAME
    seen: list[tuple[str, bool]] = []
    monkeypatch.setattr(subject, "sync_file", lambda fd, fresh: seen.append(("file", path.exists())))
    monkeypatch.setattr(subject, "sync_directory", lambda folder: seen.append(("directory", path.exists())))
    DurableCeiling(path, print).raise_to(7)
    assert seen == [("file", False), ("directory", True)]
