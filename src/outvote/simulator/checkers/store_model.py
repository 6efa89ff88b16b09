"""What the key-value store with store-wide revisions does, as one client sees one key: for the linearizability check.

A key's version is some number larger than all before; which one depends on other keys, so the model takes it from
the answer. After a write of unknown outcome the version is unknown until somebody reads it.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from outvote.simulator.checkers.linearizability import UNKNOWN, Model

State = tuple[int | None, str | None]  # version (None: some larger one), value (None: no such key)
Call = tuple[str, tuple[Any, ...]]


class StoreModel(Model[State]):
    """Operations are (name, arguments); results as the store returns them, an entry as (value, version)."""

    def initial(self) -> State:
        return 0, None

    def key(self, operation: Hashable) -> Hashable:
        assert isinstance(operation, tuple)
        arguments = operation[1]
        assert isinstance(arguments, tuple)
        return str(arguments[0])

    def step(self, state: State, operation: Hashable, result: object) -> tuple[bool, State]:
        assert isinstance(operation, tuple)
        name, arguments = operation
        version, value = state
        if name == "put":
            return self._written(state, arguments[1], result)
        if name == "get":
            if result is UNKNOWN:
                return True, state
            if value is None or result is None:
                return value is None and result is None, state
            assert isinstance(result, tuple)
            fits = result[0] == value and (version is None or result[1] == version)
            return fits, (result[1], value)
        if name == "delete":
            return result is UNKNOWN or result == (value is not None), (version, None)
        if name == "cas":
            return self._compared(state, arguments[1], arguments[2], result)
        raise ValueError(f"the model knows no {name!r}")

    def _written(self, state: State, value: str, result: object) -> tuple[bool, State]:
        if result is UNKNOWN:
            return True, (None, value)
        assert isinstance(result, int)
        return state[0] is None or result > state[0], (result, value)

    def _compared(self, state: State, value: str, expected: int, result: object) -> tuple[bool, State]:
        """A version that the model does not know may or may not match: the answer tells."""
        version, held = state
        current = 0 if held is None else version
        if result is UNKNOWN:
            matches = current == expected
            return True, ((None, value) if matches else state)
        if result is None:
            return current is None or current != expected, state
        if current is not None and current != expected:
            return False, state
        return self._written(state, value, result)
