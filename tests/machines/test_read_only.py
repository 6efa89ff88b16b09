"""Which queries may be read beside the order: those whose source proves that they change nothing."""

from __future__ import annotations

from bisect import bisect_left

import msgspec
import pytest

from outvote.errors import Refused
from outvote.machines.contract import Context
from outvote.machines.executor import Executor
from outvote.machines.interface import describe
from outvote.machines.machine import Rejected, StateMachine, command, query
from outvote.types import FIRST_CLIENT


class Item(msgspec.Struct):
    """A value of the state that is no built-in one."""

    name: str
    marks: list[int]

    def bump(self) -> int:
        self.marks.append(1)
        return len(self.marks)

    def index(self, value: int) -> int:
        self.marks.append(value)
        return value


def count_of(rows: list[int], value: int) -> int:
    return sum(1 for row in rows if row == value)


def spoil(rows: list[int]) -> int:
    rows.append(1)
    return 1


class Shelf(StateMachine):
    """Honest queries, and dishonest ones of every kind."""

    items: dict[str, Item] = msgspec.field(default_factory=dict)
    rows: list[int] = msgspec.field(default_factory=list)
    total: int = 0

    @command
    def put(self, name: str) -> None:
        self.items[name] = Item(name, [1])

    @query
    def get(self, name: str) -> Item | None:
        return self.items.get(name)

    @query
    def names(self, prefix: str = "") -> list[str]:
        found: list[str] = []
        for name in sorted(self.items):
            if name.startswith(prefix):
                found.append(name.upper())  # noqa: PERF401
        found.sort(key=lambda name: (len(name), name))
        return found

    @query
    def counted(self, value: int) -> dict[str, int]:
        if value < 0:
            raise Rejected(f"no {value}")
        sums: dict[str, int] = {}
        for name, item in self.items.items():
            sums[name] = len(item.marks)
        total = 0
        for row in self.rows:
            total += row
        sums["rows"] = total + count_of(self.rows, value) + self._helped() + bisect_left(self.rows, value)
        return sums

    def _helped(self) -> int:
        return max(self.total, 0)

    @query
    def assigns(self) -> int:
        self.total += 1
        return self.total

    @query
    def appends(self) -> int:
        self.rows.append(1)
        return 1

    @query
    def through_a_name(self) -> int:
        rows = self.rows
        rows += [1]
        return 1

    @query
    def through_a_row(self) -> int:
        for item in self.items.values():
            item.marks[0] = 7
        return 1

    @query
    def through_a_method(self) -> int:
        return self._touched()

    def _touched(self) -> int:
        del self.rows[0]
        return 1

    @query
    def through_a_function(self) -> int:
        return spoil(self.rows)

    @query
    def through_its_own_type(self) -> int:
        return sum(item.bump() for item in self.items.values())

    @query
    def through_a_misnomer(self) -> int:
        return sum(item.index(1) for item in self.items.values())

    @query
    def through_setattr(self) -> int:
        setattr(self, "total", 3)  # noqa: B010
        return 1

    @query
    def through_a_handed_on_method(self) -> list[None]:
        return list(map(self.rows.append, [1, 2]))

    @query
    def through_an_alias(self) -> int:
        me = self
        me.total = 5
        return 1

    @query
    def asks_for_the_time(self, context: Context) -> int:
        return context.time_ns


FAST = ("get", "names", "counted")


@pytest.mark.parametrize("name", list(Shelf.blueprint().commands))
def test_a_query_is_fast_if_nothing_in_it_may_change_the_state(name: str) -> None:
    reason = Shelf.blueprint().commands[name].why_ordered
    assert (reason == "") is (name in FAST), reason
    assert describe(Shelf).command(name).fast is (name in FAST)


def test_an_executor_reads_the_one_and_refuses_the_other() -> None:
    """So a query that writes cannot part the replicas, whatever a client asks for: it changes nothing here."""
    interface = describe(Shelf)
    executor = Executor(Shelf())
    before = executor.machine.snapshot()
    assert executor.read(FIRST_CLIENT, [interface.encode("get", ("a",))]) is not None
    for name, command_ in interface.commands.items():
        if not command_.fast:
            arguments = ("a",) if name == "put" else ()
            both = [interface.encode("get", ("a",)), interface.encode(name, arguments)]
            assert executor.read(FIRST_CLIENT, both) is None
    assert executor.read(FIRST_CLIENT, [b"\x93\x01\x02\x03"]) is None
    assert executor.machine.snapshot() == before


class Guarded(StateMachine):
    """Says who may read."""

    value: int = 0
    asked: int = 0

    def allows(self, context: Context, operation: str) -> bool:
        return context.client == FIRST_CLIENT

    @command
    def put(self, value: int) -> None:
        self.value = value

    @query
    def get(self) -> int:
        return self.value


class Counted(Guarded):
    """Counts in the question whether it may be asked."""

    def allows(self, context: Context, operation: str) -> bool:
        self.asked += 1
        return True


def test_whoever_may_not_ask_in_order_may_not_ask_beside_it() -> None:
    interface = describe(Guarded)
    executor = Executor(Guarded())
    mine = executor.read(FIRST_CLIENT, [interface.encode("get")])
    others = executor.read(FIRST_CLIENT + 1, [interface.encode("get")])
    assert mine is not None
    assert others is not None
    assert interface.decode("get", mine[0]) == 0
    with pytest.raises(Refused, match="may not call get"):
        interface.decode("get", others[0])
    assert Executor(Counted()).read(FIRST_CLIENT, [interface.encode("get")]) is None
