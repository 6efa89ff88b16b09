"""Money is neither made nor lost, nobody overdraws, and only the owner spends."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outvote.errors import Refused
from outvote.machines import ledger as ledger_module
from outvote.machines.contract import Context
from outvote.machines.interface import describe
from outvote.machines.ledger import DEPOSITED_MAX, Ledger, Total

_INTERFACE = describe(Ledger)
ALICE, BOB = 70000, 70001


def call(ledger: Ledger, client: int, name: str, *arguments: Any) -> Any:
    outcome = ledger.apply(_INTERFACE.encode(name, arguments), Context(1, 1, client, b""))
    return _INTERFACE.decode(name, outcome)


def opened() -> Ledger:
    ledger = Ledger()
    call(ledger, ALICE, "open_account", "alice")
    call(ledger, BOB, "open_account", "bob")
    call(ledger, BOB, "deposit", "alice", 100)
    return ledger


def test_money_moves() -> None:
    ledger = opened()
    assert call(ledger, ALICE, "transfer", "alice", "bob", 30) == 70
    assert call(ledger, BOB, "balance", "bob") == 30
    assert call(ledger, BOB, "total") == Total(100, 100)


@pytest.mark.parametrize(
    ("client", "name", "arguments", "reason"),
    [
        (BOB, "transfer", ("alice", "bob", 1), "belongs to another client"),
        (ALICE, "transfer", ("alice", "bob", 101), "holds 100, not 101"),
        (ALICE, "transfer", ("alice", "bob", -1), "must be positive"),
        (ALICE, "transfer", ("alice", "bob", 0), "must be positive"),
        (ALICE, "transfer", ("alice", "carol", 1), "no account 'carol'"),
        (ALICE, "transfer", ("carol", "alice", 1), "no account 'carol'"),
        (ALICE, "deposit", ("alice", -1), "must be positive"),
        (ALICE, "deposit", ("alice", DEPOSITED_MAX), "not so much money"),
        (ALICE, "open_account", ("bob",), "there is an account 'bob' already"),
        (ALICE, "open_account", ("",), "1 to 64 characters"),
        (ALICE, "open_account", ("x" * 65,), "1 to 64 characters"),
        (ALICE, "balance", ("carol",), "no account 'carol'"),
    ],
)
def test_a_refusal_has_a_reason_and_changes_nothing(
    client: int, name: str, arguments: tuple[Any, ...], reason: str
) -> None:
    ledger = opened()
    before = ledger.snapshot()
    with pytest.raises(Refused, match=reason):
        call(ledger, client, name, *arguments)
    assert ledger.snapshot() == before


def test_a_transfer_to_oneself_changes_nothing() -> None:
    ledger = opened()
    assert call(ledger, ALICE, "transfer", "alice", "alice", 60) == 100
    assert call(ledger, ALICE, "total") == Total(100, 100)


def test_one_client_may_not_fill_the_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "ACCOUNTS_OF_ONE_CLIENT_MAX", 2)
    ledger = opened()
    call(ledger, ALICE, "open_account", "second")
    with pytest.raises(Refused, match="may open 2"):
        call(ledger, ALICE, "open_account", "third")
    call(ledger, BOB, "open_account", "third")


_name = st.sampled_from(["alice", "bob", "carol"])
_step = st.one_of(
    st.tuples(st.just("open_account"), _name),
    st.tuples(st.just("deposit"), _name, st.integers(-2, 50)),
    st.tuples(st.just("transfer"), _name, _name, st.integers(-2, 80)),
)


@given(st.lists(st.tuples(st.sampled_from([ALICE, BOB]), _step), max_size=40))
def test_money_is_conserved_and_nobody_overdraws(steps: list[tuple[int, tuple[Any, ...]]]) -> None:
    ledger = Ledger()
    for client, (name, *arguments) in steps:
        operation = _INTERFACE.encode(name, arguments)
        ledger.apply(operation, Context(1, 1, client, b""))
        total = call(ledger, ALICE, "total")
        assert total.balances == total.deposited
        assert all(account.balance >= 0 for account in ledger.accounts.values())
