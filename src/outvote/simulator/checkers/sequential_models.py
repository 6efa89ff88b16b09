"""What a register, a key-value store, a counter and a ledger do when used by one client at a time.

These are written apart from every replicated class on purpose: a checker that shares code with its subject
shares its bugs. Each `step` follows Model.step: does this result fit this state, and which state follows.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from enum import Enum
from typing import Final, NamedTuple, TypeAlias

import msgspec

from outvote.simulator.checkers.linearizability import UNKNOWN, Model, Operation

Balances: TypeAlias = tuple[tuple[str, int], ...]  # sorted by account


class Word(Enum):
    """Values that no operation can store and no class returns."""

    ABSENT = "absent"  # in the place of a value where there is none
    REFUSED = "refused"  # the result of an operation that the class rejected


ABSENT: Final = Word.ABSENT
REFUSED: Final = Word.REFUSED


class Get(msgspec.Struct, frozen=True):
    """Result: (value, version), or None if there is no value."""

    key: str


class Put(msgspec.Struct, frozen=True):
    """Result: the new version, greater than every earlier one."""

    key: str
    value: Hashable


class Delete(msgspec.Struct, frozen=True):
    """Result: whether there was a value."""

    key: str


class CompareAndSet(msgspec.Struct, frozen=True):
    """Writes if the value's version is `expected` (0: no value there). Result: the new version, or None."""

    key: str
    expected: int
    value: Hashable


class KeyState(NamedTuple):
    """What is known of one key. The numbers come from a counter of the whole store, so a key sees gaps; and the
    version that a write of unknown outcome received is learned only when somebody reads it."""

    value: Hashable  # ABSENT if there is none
    version: int  # of the value, if `known`; else of the last write whose version is known
    known: bool


class KeyValueModel(Model[KeyState]):
    """A store of versioned values; every key stands alone. `versions_in_order` judges them across keys."""

    def initial(self) -> KeyState:
        return KeyState(ABSENT, 0, True)

    def key(self, operation: Hashable) -> Hashable:
        if isinstance(operation, Get | Put | Delete | CompareAndSet):
            return operation.key
        raise TypeError(f"not an operation of the key-value model: {operation!r}")

    def reads(self, operation: Hashable, result: object) -> bool:
        refused = result is None if isinstance(operation, CompareAndSet) else result is False
        return refused or isinstance(operation, Get)

    def step(self, state: KeyState, operation: Hashable, result: object) -> tuple[bool, KeyState]:
        if isinstance(operation, Put):
            return _write(state, operation.value, result)
        if isinstance(operation, Get):
            return _read(state, result)
        if isinstance(operation, Delete):
            fits = result is UNKNOWN or result is (state.value is not ABSENT)
            return fits, KeyState(ABSENT, state.version, True)
        if isinstance(operation, CompareAndSet):
            return _compare_and_set(state, operation, result)
        raise TypeError(f"not an operation of the key-value model: {operation!r}")


def _write(state: KeyState, value: Hashable, result: object) -> tuple[bool, KeyState]:
    if result is UNKNOWN:
        return True, KeyState(value, state.version, False)
    if type(result) is int and result > state.version:  # a bool is no version
        return True, KeyState(value, result, True)
    return False, state


def _read(state: KeyState, result: object) -> tuple[bool, KeyState]:
    if result is UNKNOWN:
        return True, state
    if state.value is ABSENT:
        return result is None, state
    if state.known:
        return result == (state.value, state.version), state
    if isinstance(result, tuple) and result[0] == state.value and result[1] > state.version:
        return True, KeyState(state.value, result[1], True)
    return False, state


def _compare_and_set(state: KeyState, operation: CompareAndSet, result: object) -> tuple[bool, KeyState]:
    if state.value is ABSENT:
        may_match, must_match = operation.expected == 0, operation.expected == 0
    else:
        may_match = operation.expected == state.version if state.known else operation.expected > state.version
        must_match = may_match and state.known
    if result is None:
        return not must_match, state
    if not may_match:
        return result is UNKNOWN, state
    return _write(KeyState(state.value, max(state.version, operation.expected), True), operation.value,
    result)


def versions_in_order(history: Iterable[Operation]) -> str:
    """Whether the versions that writes were given, over all keys, respect real time; "" or what is wrong.

    A key-value history can fit an order key by key although two halves of a store were numbered apart: this
    finds it.
    """
    writes = [
        (entry.call, entry.returned, entry.result)
        for entry in history
        if isinstance(entry.operation, Put | CompareAndSet)
        and entry.returned is not None
        and type(entry.result) is int
    ]
    by_version = sorted(writes, key=lambda write: write[2])
    latest_call = -1
    for place, (call, returned, version) in enumerate(by_version):
        if place and by_version[place - 1][2] == version:
            return f"two writes were both given version {version}"
        if returned < latest_call:
            return f"version {version} was given at {returned}, before a lower one was even asked for"
        latest_call = max(latest_call, call)
    return ""


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


class Deposit(msgspec.Struct, frozen=True):
    """Result: the account's new balance, or REFUSED."""

    account: str
    amount: int


class Transfer(msgspec.Struct, frozen=True):
    """Result: the balance left at `source`, or REFUSED if it holds too little or an account does not exist."""

    source: str
    target: str
    amount: int


class Balance(msgspec.Struct, frozen=True):
    """Result: what the account holds, or REFUSED if there is no such account."""

    account: str


class LedgerModel(Model[Balances]):
    """Accounts that no transfer may overdraw; whose they are is not modelled. A transfer touches two of them, so the
    state is one whole."""

    def __init__(self, opening: Mapping[str, int]) -> None:
        self.opening: Balances = tuple(sorted(opening.items()))

    def initial(self) -> Balances:
        return self.opening

    def reads(self, operation: Hashable, result: object) -> bool:
        return result is REFUSED or isinstance(operation, Balance)

    def step(self, state: Balances, operation: Hashable, result: object) -> tuple[bool, Balances]:
        balances = dict(state)
        answer: object = REFUSED
        if isinstance(operation, Balance):
            answer = balances.get(operation.account, REFUSED)
        elif isinstance(operation, Deposit):
            if operation.account in balances and operation.amount > 0:
                balances[operation.account] += operation.amount
                answer = balances[operation.account]
        elif isinstance(operation, Transfer):
            known = operation.source in balances and operation.target in balances
            if known and 0 < operation.amount <= balances[operation.source]:
                balances[operation.source] -= operation.amount
                balances[operation.target] += operation.amount
                answer = balances[operation.source]
        else:
            raise TypeError(f"not an operation of the ledger model: {operation!r}")
        return result is UNKNOWN or result == answer, tuple(balances.items())
