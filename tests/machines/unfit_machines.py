"""Classes that must not pass `outvote check`, one sin each, and a few that must."""

from __future__ import annotations

import random
import sys
import time
from typing import ClassVar

import msgspec

from outvote.errors import Lie
from outvote.machines.contract import Context
from outvote.machines.machine import StateMachine, command, query

_served: list[str] = []


class ReadsClock(StateMachine):
    stamped: int = 0

    @command
    def stamp(self) -> None:
        self.stamped = int(time.time())


class DrawsRandomly(StateMachine):
    drawn: list[int] = msgspec.field(default_factory=list)

    @command
    def draw(self) -> None:
        self.drawn.append(self._number())

    def _number(self) -> int:
        return random.randrange(1 << 40)


class IteratesSet(StateMachine):
    names: set[str] = msgspec.field(default_factory=set)

    @command
    def add(self, name: str) -> None:
        self.names.add(name)

    @query
    def joined(self) -> str:
        return "/".join(self.names)


class TakesAddress(StateMachine):
    address: int = 0

    @command
    def touch(self) -> None:
        self.address = id(self)


class HashesText(StateMachine):
    buckets: dict[int, str] = msgspec.field(default_factory=dict)

    @command
    def file(self, name: str) -> None:
        self.buckets[hash(name) % 1000] = name


class SharesDefault(StateMachine):
    items: ClassVar[list[str]] = []
    count: int = 0

    @command
    def append(self, item: str) -> int:
        self.items.append(item)
        return len(self.items)


class WritesInQuery(StateMachine):
    reads: int = 0

    @command
    def reset(self) -> None:
        self.reads = 0

    @query
    def read(self) -> int:
        self.reads += 1
        return 0


class LosesOrder(StateMachine):
    rows: dict[str, int] = msgspec.field(default_factory=dict)

    @command
    def put(self, key: str, value: int) -> None:
        self.rows[key] = value

    @query
    def first(self) -> str:
        return next(iter(self.rows), "")

    def snapshot(self) -> bytes:
        return msgspec.json.encode(dict(sorted(self.rows.items())))

    def restore(self, snapshot: bytes) -> None:
        try:
            self.rows = msgspec.json.decode(snapshot, type=dict[str, int])
        except msgspec.MsgspecError as error:
            raise Lie("no rows") from error


class Undeclared(StateMachine):
    value: int = 0

    @command
    def remember(self, value: int) -> None:
        self.last = value


class Unwritable(StateMachine):
    value: int = 0

    @command
    def keep(self) -> None:
        self.value = object()  # type: ignore[assignment]


class HoldsOtherType(StateMachine):
    value: int = 0

    @command
    def keep(self, text: str) -> None:
        self.value = text  # type: ignore[assignment]


class Asserts(StateMachine):
    value: int = 0

    @command
    def grow(self, amount: int) -> int:
        assert amount > 0
        self.value += amount
        return self.value


class ModuleVariable(StateMachine):
    count: int = 0

    @command
    def serve(self, name: str) -> bool:
        if name in _served:
            return False
        _served.append(name)
        return True


class Leaves(StateMachine):
    value: int = 0

    @command
    def leave(self) -> None:
        sys.exit(3)


class Point(msgspec.Struct):
    x: int
    tags: frozenset[str] = frozenset()


class Honest(StateMachine):
    """Uses much that could go wrong, rightly."""

    names: set[str] = msgspec.field(default_factory=set)
    points: dict[tuple[int, str], Point] = msgspec.field(default_factory=dict)
    drawn: int = 0
    time_ns: int = 0

    @command
    def add(self, name: str, point: Point, context: Context) -> list[str]:
        self.names.add(name)
        self.points[point.x, name] = point
        self.time_ns = context.time_ns
        self.drawn = context.random_below(1000)
        return sorted(self.names)

    @command
    def grow(self, power: int) -> int:
        self.drawn = (self.drawn + 1) << 70
        return power

    @query
    def every(self) -> set[str]:
        print("what a class prints must not disturb the check")
        return self.names
