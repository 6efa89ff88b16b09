"""What a Merkle map needs of a place to keep its nodes in, larger than memory; and one that is memory, for simulations.

A port: nodes by number, and a few named facts beside them, all changed in transactions. The store is not believed:
whoever reads a node compares it with the digest that its parent has for it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TypeVar

Name = TypeVar("Name")

Place = int  # a node's number; 0 is none


class Transaction(ABC):
    """Changes that become durable together, or not at all. Made and ended by one thread."""

    @abstractmethod
    def put(self, place: Place, data: bytes) -> None:
        """Raises BrokenStorage."""

    @abstractmethod
    def remove(self, place: Place) -> None:
        """Nothing happens if there is none. Raises BrokenStorage."""

    @abstractmethod
    def fact(self, name: bytes) -> bytes | None:
        """As this transaction has it. Raises BrokenStorage."""

    @abstractmethod
    def state(self, name: bytes, data: bytes | None) -> None:
        """None: forget it. Raises BrokenStorage."""

    @abstractmethod
    def commit(self) -> None:
        """Durable when it returns. Raises BrokenStorage."""

    @abstractmethod
    def abort(self) -> None:
        """As if it had never been."""


class NodeStore(ABC):
    """One replica's nodes. May be read from any thread."""

    @abstractmethod
    def get(self, place: Place) -> bytes | None:
        """As the last transaction that was committed left it. Raises BrokenStorage."""

    @abstractmethod
    def begin(self) -> Transaction:
        """Waits until no other is under way."""

    @abstractmethod
    def places(self, above: Place) -> Iterator[Place]:
        """The numbers that are larger, in order. Raises BrokenStorage."""

    @abstractmethod
    def facts(self) -> dict[bytes, bytes]:
        """All of them. Raises BrokenStorage."""

    @abstractmethod
    def clear(self) -> None:
        """Forget everything, also what cannot be read. Raises BrokenStorage."""


class MemoryNodes(NodeStore):
    """Outlives the process that it simulates; what was not committed does not."""

    def __init__(self) -> None:
        self.nodes: dict[Place, bytes] = {}
        self.known: dict[bytes, bytes] = {}

    def get(self, place: Place) -> bytes | None:
        return self.nodes.get(place)

    def begin(self) -> Transaction:
        return _MemoryTransaction(self)

    def places(self, above: Place) -> Iterator[Place]:
        return iter(sorted(place for place in self.nodes if place > above))

    def facts(self) -> dict[bytes, bytes]:
        return dict(self.known)

    def clear(self) -> None:
        self.nodes.clear()
        self.known.clear()


class _MemoryTransaction(Transaction):
    def __init__(self, store: MemoryNodes) -> None:
        self._store = store
        self._nodes: dict[Place, bytes | None] = {}
        self._facts: dict[bytes, bytes | None] = {}

    def put(self, place: Place, data: bytes) -> None:
        self._nodes[place] = data

    def remove(self, place: Place) -> None:
        self._nodes[place] = None

    def fact(self, name: bytes) -> bytes | None:
        return self._facts[name] if name in self._facts else self._store.known.get(name)

    def state(self, name: bytes, data: bytes | None) -> None:
        self._facts[name] = data

    def commit(self) -> None:
        _apply(self._store.nodes, self._nodes)
        _apply(self._store.known, self._facts)

    def abort(self) -> None:
        return


def _apply(held: dict[Name, bytes], changes: dict[Name, bytes | None]) -> None:
    for name, data in changes.items():
        if data is None:
            held.pop(name, None)
        else:
            held[name] = data
