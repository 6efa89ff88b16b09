"""A map in a node store is the map in memory, whatever crashed in between; and the store holds no more than it must."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outvote.core.node_store import MemoryNodes, NodeStore
from outvote.errors import Rot
from outvote.machines.merkle_map import EMPTY, MerkleMap
from outvote.machines.vault import KEPT_VERSIONS, Pointer, Vault, last_pointer
from outvote.storage.nodes import LmdbNodes


@pytest.fixture(params=["memory", "lmdb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NodeStore]:
    if request.param == "memory":
        yield MemoryNodes()
        return
    nodes = LmdbNodes(tmp_path)
    yield nodes
    nodes.close()


def pointer_of(parts: Iterator[bytes]) -> Pointer:
    pointer = last_pointer(b"".join(parts))
    assert pointer is not None
    return pointer


def fresh(store: NodeStore) -> Vault:
    vault = Vault(store)
    assert vault.open(None, None) == (None, None)
    return vault


def content(first: int, last: int, size: int = 100, mark: str = "") -> dict[bytes, bytes | None]:
    return {b"key %d" % index: f"{index}{mark}".encode().rjust(size) for index in range(first, last)}


def nodes_of(store: NodeStore) -> int:
    return len(list(store.places(0)))


def test_a_version_comes_back_as_it_was_and_is_in_memory_no_longer(store: NodeStore) -> None:
    vault = fresh(store)
    state = EMPTY.update(content(0, 3000))
    pointer = pointer_of(vault.write(state))
    assert state.root is not None
    assert state.root.held is None
    assert state.get(b"key 77") == b"77".rjust(100), "and can be read all the same"
    again, aside = Vault(store).open(pointer, None)
    assert again is not None
    assert aside is None
    assert again == state == EMPTY.update(content(0, 3000))
    assert dict(again.leaves()) == content(0, 3000)
    assert again.update({b"key 5": b"x"}) == EMPTY.update(content(0, 3000)).update({b"key 5": b"x"})


def test_what_a_small_change_writes_is_small(store: NodeStore) -> None:
    vault = fresh(store)
    state = EMPTY.update(content(0, 20_000))
    pointer = pointer_of(vault.write(state))
    written = pointer_of(vault.write(state.update({b"key 5": b"x"}))).top - pointer.top
    assert written <= 4, "one bucket, and a node a level"
    assert len(dict.fromkeys([state.digest, vault.open(pointer, None)[0].digest])) == 1  # type: ignore[union-attr]


CHANGES = st.dictionaries(
    st.integers(0, 300).map(lambda number: b"%d" % number),
    st.none() | st.integers(0, 3).map(lambda one: bytes(one * 60)), max_size=150,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(CHANGES, st.sampled_from(["keep", "keep", "aside", "lost", "restart", "older"])), max_size=9))
def test_any_history_of_versions_and_crashes(steps: list[tuple[dict[bytes, bytes | None], str]]) -> None:
    """A model beside it: what the last pointers stand for. `lost`: the process ends after the store has the version and
    before its pointer is on the disk. `older`: the newest snapshot cannot be read."""
    store = MemoryNodes()
    vault = fresh(store)
    state, model = EMPTY, EMPTY
    kept: list[tuple[Pointer | None, MerkleMap]] = [(None, EMPTY)]
    aside: Pointer | None = None
    for changes, step in steps:
        state, model = state.update(changes), model.update(changes)
        assert state == model
        if step in ("keep", "lost"):
            pointer = pointer_of(vault.write(state))
            if step == "keep":
                kept = [*kept[-1:], (pointer, model)]
                aside = None
        elif step == "aside":
            aside = pointer_of(vault.write(state, kept=False))
        if step in ("lost", "restart", "older"):
            if step == "older":
                kept, aside = kept[:1], None
            vault = Vault(store)
            pointer_, then = kept[-1]
            found, partial = vault.open(pointer_, aside)
            assert (found if found is not None else EMPTY) == then
            assert found is None or vault.survey(found) == (found, 0)
            if aside is not None:
                assert partial is not None
                assert vault.survey(partial)[1] == 0
            state, model = (found if found is not None else EMPTY), then
        assert dict(state.leaves()) == dict(model.leaves())
        assert nodes_of(store) <= 40 * (KEPT_VERSIONS + len(steps)), "and not more than there were versions"


def test_garbage_goes_when_no_pointer_needs_it(store: NodeStore) -> None:
    vault = fresh(store)
    state = EMPTY.update(content(0, 3000))
    pointers = [pointer_of(vault.write(state))]
    whole = nodes_of(store)
    for turn in range(8):
        state = state.update(content(0, 3000, mark=str(turn)))
        pointers.append(pointer_of(vault.write(state)))
        assert nodes_of(store) <= KEPT_VERSIONS * whole
    for pointer in reversed(pointers[-2:]):
        found, _ = Vault(store).open(pointer, None)
        assert found is not None
        assert Vault(store).survey(found)[1] == 0
        assert (found == state) == (pointer == pointers[-1])


def test_versions_after_the_pointer_are_forgotten(store: NodeStore) -> None:
    vault = fresh(store)
    state = EMPTY.update(content(0, 500))
    pointer = pointer_of(vault.write(state))
    before = nodes_of(store)
    lost = pointer_of(vault.write(state.update(content(0, 500, mark="lost"))))
    assert nodes_of(store) > before
    found, _ = Vault(store).open(pointer, None)
    assert found == state
    assert nodes_of(store) == before
    assert Vault(store).open(lost, None) == (None, None), "and so is all, where the pointer leads nowhere"
    assert nodes_of(store) == 0


def test_a_crash_before_the_pointer_is_on_the_disk_costs_nothing(store: NodeStore) -> None:
    vault = fresh(store)
    state = EMPTY.update(content(0, 500))
    for turn in range(4):
        state = state.update(content(0, 500, mark=str(turn)))
        pointer, kept = pointer_of(vault.write(state)), state
    pointer_of(vault.write(state.update(content(0, 500, mark="lost"))))
    again = Vault(store)
    found, _ = again.open(pointer, None)
    assert found is not None
    assert again.survey(found) == (kept, 0)


def test_an_unfinished_version_leaves_nothing(store: NodeStore) -> None:
    vault = fresh(store)
    state = EMPTY.update(content(0, 500))
    pointer = pointer_of(vault.write(state))
    before = nodes_of(store)
    parts = vault.write(EMPTY.update(content(0, 60_000, size=200)))
    assert next(parts) == b"", "where the log goes first"
    parts.close()  # type: ignore[attr-defined]
    assert nodes_of(store) == before
    assert Vault(store).open(pointer, None)[0] == state


def test_damage_is_found_where_it_is() -> None:
    store = MemoryNodes()
    vault = fresh(store)
    state = EMPTY.update(content(0, 3000))
    pointer = pointer_of(vault.write(state))
    buckets = [place for place, data in store.nodes.items() if data[:1] == b"b"]
    for place in buckets[3:5]:
        damaged = bytearray(store.nodes[place])
        damaged[len(damaged) // 2] ^= 4
        store.nodes[place] = bytes(damaged)
    del store.nodes[buckets[7]]
    vault = Vault(store)
    found, _ = vault.open(pointer, None)
    assert found is not None
    left, damaged_nodes = vault.survey(found)
    assert damaged_nodes == 3
    assert 2700 < len(left) < 3000
    assert all(state.get(key) == value for key, value in left.leaves())
    with pytest.raises(Rot, match="restart"):
        list(found.leaves())
