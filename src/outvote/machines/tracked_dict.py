"""A dict that notes which of its items were touched, so that a checkpoint writes those alone.

It behaves as a dict in everything that a class can ask of it. Each new item gets the next number; the numbers tell the
order, which the leaves of a map do not keep. What is read out of a `TouchingDict` may be changed by whoever reads it,
so reading counts as touching there.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, ValuesView
from copy import deepcopy
from typing import Any, Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")

_NONE: Any = object()
_set_item = dict.__setitem__  # `super()` would cost as much again, once an operation


class TrackedDict(dict[Key, Value], Generic[Key, Value]):
    """For values that cannot be changed in place."""

    __slots__ = ("all_touched", "next_number", "numbers", "touched")

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        """Every item is new: touched, and numbered in order from 0."""
        super().__init__(*arguments, **keywords)
        self.numbers: dict[Key, int] = {key: number for number, key in enumerate(dict.__iter__(self))}
        self.next_number = len(self)
        self.touched: dict[Key, None] = dict.fromkeys(self.numbers)  # and those that are gone
        self.all_touched = False  # whatever is in it now may have been changed

    def settled(self) -> None:
        """All that was touched is written."""
        self.touched = {}
        self.all_touched = False

    def __setitem__(self, key: Key, value: Value) -> None:
        if key not in self.numbers:
            self.numbers[key] = self.next_number
            self.next_number += 1
        self.touched[key] = None
        _set_item(self, key, value)

    def __delitem__(self, key: Key) -> None:
        super().__delitem__(key)
        del self.numbers[key]
        self.touched[key] = None

    def setdefault(self, key: Key, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key: Key, default: Any = _NONE) -> Any:
        if key in self:
            del self.numbers[key]
            self.touched[key] = None
            return super().pop(key)
        if default is _NONE:
            raise KeyError(key)
        return default

    def popitem(self) -> tuple[Key, Value]:
        key, value = super().popitem()
        del self.numbers[key]
        self.touched[key] = None
        return key, value

    def clear(self) -> None:
        self.touched.update(dict.fromkeys(self.numbers))
        self.numbers.clear()
        super().clear()

    def update(self, /, *arguments: Any, **keywords: Any) -> None:
        for key, value in dict(*arguments, **keywords).items():
            self[key] = value

    def __ior__(self, other: Any) -> TrackedDict[Key, Value]:  # type: ignore[override,misc]
        self.update(other)
        return self

    def __copy__(self) -> dict[Key, Value]:
        return dict(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[Key, Value]:
        return {deepcopy(key, memo): deepcopy(value, memo) for key, value in self.items()}


class TouchingDict(TrackedDict[Key, Value]):
    """For values that can be changed in place."""

    __slots__ = ()

    def __getitem__(self, key: Key) -> Value:
        value = super().__getitem__(key)
        self.touched[key] = None
        return value

    def get(self, key: Key, default: Any = None) -> Any:
        if key not in self:
            return default
        self.touched[key] = None
        return super().get(key)

    def __iter__(self) -> Iterator[Key]:
        """As before; but `dict(this)` takes the values without a word unless the subclass has an `__iter__`."""
        return super().__iter__()

    def values(self) -> ValuesView[Value]:  # type: ignore[override]
        self.all_touched = True
        return super().values()

    def items(self) -> ItemsView[Key, Value]:  # type: ignore[override]
        self.all_touched = True
        return super().items()

    def copy(self) -> dict[Key, Value]:
        self.all_touched = True
        return super().copy()

    def __or__(self, other: Any) -> Any:
        self.all_touched = True
        return super().__or__(other)

    def __ror__(self, other: Any) -> Any:
        self.all_touched = True
        return super().__ror__(other)
