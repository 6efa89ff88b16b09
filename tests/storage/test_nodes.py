"""The store's file, damaged and whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from outvote.errors import BrokenStorage, Mistake
from outvote.storage import nodes
from outvote.storage.nodes import STORE_NAME, open_nodes


def test_a_transaction_is_there_or_not(tmp_path: Path) -> None:
    store = open_nodes(tmp_path, print)
    change = store.begin()
    for place in range(1, 10_000):
        change.put(place, b"%d" % place)
    change.state(b"fact", b"one")
    assert change.fact(b"fact") == b"one"
    assert store.get(7) is None
    change.commit()
    other = store.begin()
    other.remove(7)
    other.state(b"fact", None)
    other.abort()
    store.close()
    store = open_nodes(tmp_path, print)
    assert store.get(7) == b"7"
    assert store.facts() == {b"fact": b"one"}
    assert list(store.places(2)) == list(range(3, 10_000))
    store.clear()
    assert (list(store.places(0)), store.facts()) == ([], {})
    store.close()


def test_a_damaged_file_is_put_aside_and_not_removed(tmp_path: Path) -> None:
    (tmp_path / STORE_NAME).write_bytes(b"no store at all" * 1000)
    said: list[str] = []
    store = open_nodes(tmp_path, said.append)
    assert list(store.places(0)) == []
    store.close()
    assert "put aside as state.store.damaged" in said[0]
    assert (tmp_path / "state.store.damaged").read_bytes().startswith(b"no store")


def test_a_file_that_cannot_be_opened_for_another_reason_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_nodes(tmp_path, print).close()
    monkeypatch.setattr(nodes, "MAP_BYTES", 1 << 60)  # more addresses than there are
    with pytest.raises(BrokenStorage, match=STORE_NAME):
        open_nodes(tmp_path, print)
    assert (tmp_path / STORE_NAME).exists()


def test_without_lmdb_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "lmdb", None)
    with pytest.raises(Mistake, match=r"pip install 'outvote\[store\]'"):
        open_nodes(tmp_path, print)
