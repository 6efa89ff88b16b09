"""What a register, a key-value store, a counter and a ledger do when used by one client at a time.

These are written apart from every replicated class on purpose: a checker that shares code with its subject
shares its bugs. Each `step` follows Model.step: does this result fit this state, and which state follows.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from enum import Enum
from typing import Final, TypeAlias

import msgspec

from outvote.simulator.checkers.linearizability import UNKNOWN, Model

Entry: TypeAlias = tuple[int, Hashable]  # version (0: never written), value (ABSENT if there is none)
Balances: TypeAlias = tuple[tuple[str, int], ...]  # sorted by account


class Absent(Enum):
    """In the place of a value where there is none."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT


class Get(msgspec.Struct, frozen=True):
    """Result: (version, value), or None if there is no value."""

    key: str


class Put(msgspec.Struct, frozen=True):
    """Result: the new version. A key's versions count from 1 and never start again, not even after Delete."""

    key: str
    value: Hashable


class Delete(msgspec.Struct, frozen=True):
    """Result: whether there was a value. A deletion of nothing leaves the version alone."""

    key: str


class CompareAndSet(msgspec.Struct, frozen=True):
    """Writes if the value's version is `expected` (0: no value there). Result: the new version, or None."""

    key: str
    expected: int
    value: Hashable


class KeyValueModel(Model[Entry]):
    """A store of versioned values; every key stands alone."""

    def initial(self) -> Entry:
        return 0, ABSENT

    def key(self, operation: Hashable) -> Hashable:
        if isinstance(operation, Get | Put | Delete | CompareAndSet):
            return operation.key
        raise TypeError(f"not an operation of the key-value model: {operation!r}")

    def reads(self, operation: Hashable, result: object) -> bool:
        refused = result is None if isinstance(operation, CompareAndSet) else result is False
        return refused or isinstance(operation, Get)

    def step(self, state: Entry, operation: Hashable, result: object) -> tuple[bool, Entry]:
        version, value = state
        answer: object
        after = state
        if isinstance(operation, Get):
            answer = None if value is ABSENT else state
        elif isinstance(operation, Put):
            answer = version + 1
            after = (version + 1, operation.value)
        elif isinstance(operation, Delete):
            answer = value is not ABSENT
            after = (version + 1, ABSENT) if value is not ABSENT else state
        elif isinstance(operation, CompareAndSet):
            matches = operation.expected == (0 if value is ABSENT else version)
            answer = version + 1 if matches else None
            after = (version + 1, operation.value) if matches else state
        else:
            raise TypeError(f"not an operation of the key-value model: {operation!r}")
        return result is UNKNOWN or result == answer, after


class Read(msgspec.Struct, frozen=True):
    """Result: the value last written, or None."""


class Write(msgspec.Struct, frozen=True):
    """Result: None."""

    value: Hashable


class RegisterModel(Model[Hashable]):
    """One value, written blindly."""

    def initial(self) -> Hashable:
        return None

    def reads(self, operation: Hashable, result: object) -> bool:
        return isinstance(operation, Read)

    def step(self, state: Hashable, operation: Hashable, result: object) -> tuple[bool, Hashable]:
        if isinstance(operation, Write):
            return result is UNKNOWN or result is None, operation.value
        if isinstance(operation, Read):
            return result is UNKNOWN or result == state, state
        raise TypeError(f"not an operation of the register model: {operation!r}")


class Add(msgspec.Struct, frozen=True):
    """Result: the new total."""

    amount: int


class CounterModel(Model[int]):
    """One total; Add(0) reads it."""

    def initial(self) -> int:
        return 0

    def step(self, state: int, operation: Hashable, result: object) -> tuple[bool, int]:
        if isinstance(operation, Add):
            after = state + operation.amount
            return result is UNKNOWN or result == after, after
        raise TypeError(f"not an operation of the counter model: {operation!r}")


class Transfer(msgspec.Struct, frozen=True):
    """Result: True, or False if the account to debit holds too little or either account does not exist."""

    debit: str
    credit: str
    amount: int


class Balance(msgspec.Struct, frozen=True):
    """Result: what the account holds, or None if there is no such account."""

    account: str


class LedgerModel(Model[Balances]):
    """Accounts that no transfer may overdraw. Every transfer touches two of them, so it is one whole."""

    def __init__(self, opening: Mapping[str, int]) -> None:
        self.opening: Balances = tuple(sorted(opening.items()))

    def initial(self) -> Balances:
        return self.opening

    def reads(self, operation: Hashable, result: object) -> bool:
        return result is False or isinstance(operation, Balance)

    def step(self, state: Balances, operation: Hashable, result: object) -> tuple[bool, Balances]:
        balances = dict(state)
        if isinstance(operation, Balance):
            return result is UNKNOWN or result == balances.get(operation.account), state
        if not isinstance(operation, Transfer):
            raise TypeError(f"not an operation of the ledger model: {operation!r}")
        known = operation.debit in balances and operation.credit in balances
        moves = known and 0 <= operation.amount <= balances[operation.debit]
        if moves:
            balances[operation.debit] -= operation.amount
            balances[operation.credit] += operation.amount
        return result is UNKNOWN or result is moves, tuple(balances.items())
