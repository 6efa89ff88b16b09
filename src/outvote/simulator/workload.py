"""What clients do to a machine in a run, and what their histories must look like afterwards.

The world knows its machine only through this: another class under test brings its own workload.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from random import Random
from typing import Any, ClassVar, Final

from outvote.machines.key_value import KeyValueStore
from outvote.machines.machine import StateMachine
from outvote.simulator.checkers.linearizability import Operation, Verdict, check
from outvote.simulator.checkers.store_model import StoreModel
from outvote.types import ClientId

Call = tuple[str, tuple[Any, ...]]  # name and arguments of one operation


# Right runs are judged in some hundred steps, for the hints are good; a wrong one need not be searched to the end.
CONFIGURATIONS_MAX: Final = 100_000


class Workload(ABC):
    """One run's; `machine` is what every replica runs."""

    # Whether what the machine writes is compared with its leaves: a user's class is told in its own words instead
    # that it comes back as another (testing/sameness.py).
    compared: ClassVar[bool] = True

    def __init__(self, machine: type[StateMachine]) -> None:
        self.machine = machine

    @abstractmethod
    def draw(self, client: ClientId, rng: Random) -> Call:
        """The next operation of a client."""

    def learned(self, client: ClientId, call: Call, result: Any) -> None:
        """An operation was answered, with its decoded result."""
        return

    def plain(self, call: Call, result: Any) -> Any:
        """The result as `judge` wants it in a history."""
        return result

    @abstractmethod
    def judge(self, history: Sequence[Operation]) -> Verdict:
        """Whether what all honest clients saw could have happened one at a time."""


class StoreWorkload(Workload):
    """Puts, gets, compare-and-sets and deletes on a few keys."""

    def __init__(self, keys: int, large: int = 0) -> None:
        """`large`: characters that every third value is longer by."""
        super().__init__(KeyValueStore)
        self._keys = keys
        self._large = large
        self._values: dict[ClientId, int] = {}
        self._versions: dict[tuple[ClientId, str], int] = {}  # seen, so that compare-and-set succeeds now and then

    def draw(self, client: ClientId, rng: Random) -> Call:
        key = f"k{rng.randrange(self._keys)}"
        kind = rng.random()
        count = self._values[client] = self._values.get(client, 0) + 1
        value = f"{client}.{count}" + ("." * self._large if count % 3 == 0 else "")
        if kind < 0.35:
            return "put", (key, value)
        if kind < 0.75:
            return "get", (key,)
        if kind < 0.9:
            return "cas", (key, value, self._versions.get((client, key), 0))
        return "delete", (key,)

    def learned(self, client: ClientId, call: Call, result: Any) -> None:
        name, arguments = call
        if name == "put":
            self._versions[client, arguments[0]] = result
        elif name == "get" and result is not None:
            self._versions[client, arguments[0]] = result.version

    def plain(self, call: Call, result: Any) -> Any:
        return (result.value, result.version) if call[0] == "get" and result is not None else result

    def judge(self, history: Sequence[Operation]) -> Verdict:
        return check(history, StoreModel(), CONFIGURATIONS_MAX)
