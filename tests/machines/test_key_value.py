"""The key-value store against a model, its limits, and its index."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outvote.errors import Refused
from outvote.machines import key_value
from outvote.machines.contract import Context
from outvote.machines.interface import describe
from outvote.machines.key_value import KEY_BYTES_MAX, LIST_MAX, VALUE_BYTES_MAX, Entry, KeyValueStore

_INTERFACE = describe(KeyValueStore)


def call(store: KeyValueStore, name: str, *arguments: Any, **named: Any) -> Any:
    outcome = store.apply(_INTERFACE.encode(name, arguments, named), Context(1, 1, 70000, b""))
    return _INTERFACE.decode(name, outcome)


_key = st.text("ab", min_size=1, max_size=3)
_step = st.one_of(
    st.tuples(st.just("put"), _key, st.text(max_size=3)),
    st.tuples(st.just("delete"), _key),
    st.tuples(st.just("cas"), _key, st.text(max_size=3), st.integers(0, 12)),
    st.tuples(st.just("get"), _key),
    st.tuples(st.just("list"), st.text("ab", max_size=2), st.integers(1, 5), st.text("ab", max_size=2)),
    st.tuples(st.just("restore")),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(_step, max_size=40), st.integers(1, 4))
def test_it_does_what_a_dict_with_versions_does(steps: list[tuple[Any, ...]], changes_max: int) -> None:
    store = KeyValueStore()
    model: dict[str, Entry] = {}
    revision = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(key_value, "_CHANGES_MAX", changes_max)
        for name, *arguments in steps:
            if name == "restore":
                other = KeyValueStore()
                other.restore(store.snapshot())
                store = other
                continue
            answer = call(store, name, *arguments)
            key = arguments[0]
            if name == "list":
                _, limit, after = arguments
                expected = [one for one in sorted(model) if one.startswith(key) and (not after or one > after)]
                assert answer == expected[:limit]
            elif name == "get":
                assert answer == model.get(key)
            elif name == "delete":
                assert answer == (key in model)
                revision += key in model
                model.pop(key, None)
            elif name == "put" or (model[key].version if key in model else 0) == arguments[2]:
                revision += 1
                model[key] = Entry(arguments[1], revision)
                assert answer == revision
            else:
                assert answer is None
            assert store.stored_bytes == sum(len(one) + len(entry.value.encode()) for one, entry in model.items())


def test_versions_never_repeat_so_a_stale_compare_and_set_fails() -> None:
    store = KeyValueStore()
    stale = call(store, "put", "a", "1")
    call(store, "delete", "a")
    assert call(store, "cas", "a", "x", stale) is None
    fresh = call(store, "cas", "a", "1", 0)
    assert fresh > stale
    assert call(store, "cas", "a", "x", stale) is None
    assert call(store, "cas", "a", "x", 0) is None
    assert call(store, "cas", "a", "2", fresh) == fresh + 1


def test_limits_are_counted_in_bytes_and_refused() -> None:
    store = KeyValueStore()
    call(store, "put", "k" * KEY_BYTES_MAX, "v" * VALUE_BYTES_MAX)
    call(store, "put", "ü" * (KEY_BYTES_MAX // 2), "ü" * (VALUE_BYTES_MAX // 2))
    before = store.snapshot()
    for arguments in (
        ("", "v"),
        ("k" * (KEY_BYTES_MAX + 1), ""),
        ("ü" * 513, ""),
        ("k", "ü" * (VALUE_BYTES_MAX // 2 + 1)),
    ):
        with pytest.raises(Refused, match="bytes"):
            call(store, "put", *arguments)
        with pytest.raises(Refused, match="bytes"):
            call(store, "cas", *arguments, 0)
    for limit in (0, -1, LIST_MAX + 1):
        with pytest.raises(Refused, match="limit must be"):
            call(store, "list", limit=limit)
    assert store.snapshot() == before


def test_a_full_store_refuses_and_has_room_again_after_a_delete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_value, "STORE_BYTES_MAX", 10)
    store = KeyValueStore()
    call(store, "put", "aa", "12345678")
    with pytest.raises(Refused, match="full"):
        call(store, "put", "b", "")
    call(store, "put", "aa", "1234567")
    call(store, "put", "b", "")
    with pytest.raises(Refused, match="full"):
        call(store, "put", "aa", "12345678")
    call(store, "delete", "aa")
    call(store, "put", "c", "12345678")


def test_the_largest_listing_fits_an_answer() -> None:
    store = KeyValueStore()
    for index in range(LIST_MAX + 5):
        call(store, "put", f"{index:04}" + "k" * (KEY_BYTES_MAX - 4), "")
    first = call(store, "list", limit=LIST_MAX)
    assert len(first) == LIST_MAX
    assert len(call(store, "list", after=first[-1])) == 5
