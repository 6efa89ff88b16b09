"""A dict whose items are in the state's map, and so in its store, rather than in memory: declare it with `stored=`.

In memory is what was written since the last checkpoint, as bytes. It behaves as a dict, with these differences: a value
that is read is a copy, and cannot be changed in place (the class is refused if its type allows that); items come in an
order of their own, the same on all replicas; which of them came last is not known.

Kept: nothing that it answers depends on when a checkpoint was taken or a replica restarted.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from heapq import merge
from typing import Any, TypeVar

from outvote.errors import BrokenStorage
from outvote.machines.item_form import ItemForm
from outvote.machines.leaves import name_of, piece_key, read
from outvote.machines.merkle_branch import Branch
from outvote.machines.merkle_map import EMPTY, MerkleMap, Node, key_of, path_of

Key = TypeVar("Key")
Value = TypeVar("Value")

_Placed = tuple[str, bytes, bytes | None]  # path, name, data; None: gone


class StoredDict(MutableMapping[Key, Value]):
    """`stand` says what it holds."""

    __slots__ = ("_form", "_state", "changed", "count", "failure", "next_number")

    def __init__(self, form: ItemForm) -> None:
        self._form = form
        self._state = EMPTY
        self.changed: dict[bytes, bytes | None] = {}  # by name, since the last checkpoint; None: gone
        self.count = 0
        self.next_number = 0
        self.failure: BrokenStorage | None = None  # whoever called may have caught it, and must not go on

    def stand(self, state: MerkleMap, next_number: int, count: int) -> None:
        """All items are in `state`."""
        self._state = state
        self.changed = {}
        self.next_number = next_number
        self.count = count

    def _find(self, key: object) -> tuple[bytes, bytes | None]:
        """Its name, and what is there."""
        name = self._form.name(key)[0]
        if name in self.changed:
            return name, self.changed[name]
        try:
            return name, read(self._state, name)
        except BrokenStorage as failure:
            self.failure = failure
            raise

    def __getitem__(self, key: Key) -> Value:
        name, data = self._find(key)
        if data is None:
            raise KeyError(key)
        value: Value = self._form.read_item(name, data)[2]
        return value

    def __contains__(self, key: object) -> bool:
        return self._find(key)[1] is not None

    def __len__(self) -> int:
        return self.count

    def __setitem__(self, key: Key, value: Value) -> None:
        name, there = self._find(key)
        number = self.next_number if there is None else self._form.read_item(name, there)[0]
        data = self._form.item(number, key, value)
        self._form.read_item(name, data)  # so that a value of another type is refused now, not when it is read
        if there is None:
            self.next_number += 1
            self.count += 1
        self.changed[name] = data

    def __delitem__(self, key: Key) -> None:
        name, data = self._find(key)
        if data is None:
            raise KeyError(key)
        self.changed[name] = None
        self.count -= 1

    def clear(self) -> None:
        """Notes each item as gone: costs memory in their number."""
        self.changed = {name: None for _, name, _ in self._placed()}
        self.count = 0

    def popitem(self) -> tuple[Key, Value]:
        """Raises TypeError: which item came last is not known."""
        raise TypeError("a stored dict does not know which item came last: pop one by its key")

    def __iter__(self) -> Iterator[Key]:
        for _, name, data in self._placed():
            if data is not None:
                yield self._form.read_item(name, data)[1]

    def in_order(self) -> dict[Key, Value]:
        """All items, in memory, as they came."""
        items = [self._form.read_item(name, data) for _, name, data in self._placed() if data is not None]
        return {key: value for _, key, value in sorted(items, key=_number_of)}

    def __repr__(self) -> str:
        return f"<StoredDict of {self.count} items>"

    def _placed(self) -> Iterator[_Placed]:
        """All names that are in the state or have changed, by path."""
        own: list[_Placed] = [(path_of(piece_key(name, 0)), name, data) for name, data in self.changed.items()]
        last = ""
        for placed in merge(sorted(own, key=_path), self._in_state(), key=_path):
            if placed[0] != last:  # of two with one path the first is what has changed
                yield placed
            last = placed[0]

    def _in_state(self) -> Iterator[_Placed]:
        """By path. Sorted within each bucket: what else is in a bucket must not show."""
        try:
            yield from self._read_state()
        except BrokenStorage as failure:
            self.failure = failure
            raise

    def _read_state(self) -> Iterator[_Placed]:
        pending: list[Node] = [self._state.root] if self._state.root is not None else []
        prefix = piece_key(self._form.prefix, 0)
        while pending:
            content = pending.pop().content
            if isinstance(content, Branch):
                pending.extend(reversed(content.children))
                continue
            keys = [key for key in map(key_of, content) if key.startswith(prefix)]
            for path, name in sorted([(path_of(key), name_of(key)) for key in keys]):
                yield path, name, read(self._state, name)


def _path(placed: _Placed) -> str:
    return placed[0]


def _number_of(item: tuple[int, Any, Any]) -> int:
    return item[0]
