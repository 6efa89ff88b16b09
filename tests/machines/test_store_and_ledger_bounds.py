"""The machines that come with the package at their very bounds, and the store's index step by step."""

from __future__ import annotations

from typing import Any

import pytest

from outvote.errors import Refused
from outvote.machines import key_value, ledger
from outvote.machines.contract import Context
from outvote.machines.interface import describe
from outvote.machines.key_value import KEY_BYTES_MAX, LIST_MAX, STORE_BYTES_MAX, VALUE_BYTES_MAX, KeyValueStore
from outvote.machines.ledger import ACCOUNTS_OF_ONE_CLIENT_MAX, DEPOSITED_MAX, NAME_CHARACTERS_MAX, Ledger, Total
from outvote.machines.machine import StateMachine

ALICE, BOB = 70000, 70001


def call(machine: StateMachine, name: str, *arguments: Any, client: int = ALICE, **named: Any) -> Any:
    interface = describe(type(machine))
    outcome = machine.apply(interface.encode(name, arguments, named), Context(1, 1, client, b""))
    return interface.decode(name, outcome)


def test_the_limits_are_those_that_are_documented() -> None:
    assert (KEY_BYTES_MAX, VALUE_BYTES_MAX, LIST_MAX) == (1024, 131072, 200)
    assert STORE_BYTES_MAX == 1 << 30
    assert (NAME_CHARACTERS_MAX, ACCOUNTS_OF_ONE_CLIENT_MAX, DEPOSITED_MAX) == (64, 1000, 1 << 62)


# ---------------------------------------------------------------------- the store


def keys(store: KeyValueStore, **named: Any) -> list[str]:
    found: list[str] = call(store, "list", **named)
    return found


def test_a_listing_follows_every_write_and_delete() -> None:
    store = KeyValueStore()
    for key in ("c", "a", "e"):
        call(store, "put", key, "1")
    assert keys(store) == ["a", "c", "e"]
    call(store, "put", "c", "2")
    assert keys(store) == ["a", "c", "e"]
    call(store, "delete", "c")
    assert keys(store) == ["a", "e"]
    call(store, "put", "d", "1")
    call(store, "put", "b", "1")
    call(store, "delete", "b")
    call(store, "put", "f", "1")
    call(store, "delete", "a")
    call(store, "put", "a", "2")
    assert keys(store) == ["a", "d", "e", "f"]
    call(store, "delete", "f")
    call(store, "delete", "a")
    assert keys(store) == ["d", "e"]
    assert call(store, "delete", "a") is False
    assert keys(store) == ["d", "e"]
    assert store._changed == {}


def test_the_index_is_made_anew_after_many_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_value, "_CHANGES_MAX", 3)
    store = KeyValueStore()
    call(store, "put", "m", "1")
    assert not store._changed, "there is no index to mend yet"
    assert keys(store) == ["m"]
    assert store._indexed
    for key in ("c", "b", "a"):
        call(store, "put", key, "1")
    assert (len(store._changed), store._indexed) == (3, True)
    call(store, "put", "d", "1")
    assert (store._changed, store._index, store._indexed) == ({}, [], False)
    assert keys(store) == ["a", "b", "c", "d", "m"]
    index = store._index
    call(store, "put", "m", "2")
    assert not store._changed, "a key that was there needs no mending"
    assert keys(store) == ["a", "b", "c", "d", "m"]
    assert store._index is index


def test_a_listing_is_cut_and_goes_on() -> None:
    store = KeyValueStore()
    for key in ("a1", "a2", "a3", "b1", "b2"):
        call(store, "put", key, "")
    assert keys(store, prefix="a", limit=2) == ["a1", "a2"]
    assert keys(store, prefix="a", limit=2, after="a2") == ["a3"]
    assert keys(store, prefix="a", after="b1") == []
    assert keys(store, prefix="b", after="a1") == ["b1", "b2"]
    assert keys(store, limit=1) == ["a1"]
    assert keys(store, limit=LIST_MAX, after="a11") == ["a2", "a3", "b1", "b2"]
    assert keys(store, prefix="c") == []


def test_bytes_are_counted_not_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_value, "STORE_BYTES_MAX", 9)
    store = KeyValueStore()
    call(store, "put", "ü", "ää")
    assert store.stored_bytes == 6
    call(store, "put", "k", "vv")
    assert store.stored_bytes == 9
    with pytest.raises(Refused, match="full"):
        call(store, "put", "k", "vvv")
    call(store, "put", "k", "")
    assert store.stored_bytes == 7
    call(store, "delete", "ü")
    assert store.stored_bytes == 1
    assert store.revision == 4


# ---------------------------------------------------------------------- the ledger


def test_names_have_1_to_64_characters() -> None:
    bank = Ledger()
    for name in ("x", "y" * NAME_CHARACTERS_MAX):
        call(bank, "open_account", name)
    for name in ("", "y" * (NAME_CHARACTERS_MAX + 1)):
        with pytest.raises(Refused, match="1 to 64"):
            call(bank, "open_account", name)
    assert bank.opened == {ALICE: 2}


def test_all_the_money_there_is_can_be_paid_in_and_out() -> None:
    bank = Ledger()
    for name in ("a", "b"):
        call(bank, "open_account", name)
    assert call(bank, "deposit", "a", 1) == 1
    assert call(bank, "deposit", "a", DEPOSITED_MAX - 1) == DEPOSITED_MAX
    with pytest.raises(Refused, match="not so much money"):
        call(bank, "deposit", "b", 1)
    assert call(bank, "transfer", "a", "b", DEPOSITED_MAX) == 0
    assert call(bank, "total") == Total(DEPOSITED_MAX, DEPOSITED_MAX)


def test_a_client_opens_as_many_accounts_as_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "ACCOUNTS_OF_ONE_CLIENT_MAX", 2)
    bank = Ledger()
    for name in ("a", "b"):
        call(bank, "open_account", name)
    with pytest.raises(Refused, match="may open 2"):
        call(bank, "open_account", "c")
    call(bank, "open_account", "c", client=BOB)
