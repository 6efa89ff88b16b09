"""The user's class: outcomes, copies of defaults, snapshots, and every mistake that can be seen before it runs."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outvote.errors import Lie, Mistake, Refused
from outvote.machines.contract import Context
from outvote.machines.interface import describe
from outvote.machines.machine import Rejected, StateMachine, command, query
from outvote.machines.operations import (
    DONE,
    FAILED,
    INVALID,
    NESTING_MAX,
    REJECTED,
    TOO_LARGE,
    decode_outcome,
    encode_operation,
    nested_too_deep,
    outcome_kind,
    outcome_reason,
)
from outvote.wire.client_messages import RESULT_BYTES_MAX


class Tree(msgspec.Struct):
    children: list[Tree] = msgspec.field(default_factory=list)


class Place(NamedTuple):
    row: int
    marks: frozenset[str]


@dataclasses.dataclass
class Note:
    text: str
    words: set[str]


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    number: int

    def __post_init__(self) -> None:
        if self.number == 13:
            raise ValueError("unlucky")


class Loose(msgspec.Struct):
    number: int


class Subject(StateMachine):
    log: list[str] = []  # noqa: RUF012 - the very thing under test
    table: dict[str, list[int]] = msgspec.field(default_factory=lambda: {"start": [1]})
    count: int = 0

    @command
    def note(self, text: str, times: int = 1) -> list[str]:
        """Append a text."""
        self.log.extend([text] * times)
        return self.log

    @command
    def fill(self, row: list[int] = [7]) -> None:  # noqa: B006
        row.append(1)
        self.table["row"] = row

    @command
    def refuse(self, text: str) -> None:
        self.count += 1
        raise Rejected(text)

    @command
    def fail(self, text: str) -> None:
        self.count += 1
        raise KeyError(text)

    @command
    def exhaust(self, way: int) -> None:
        raise (MemoryError, SystemExit, KeyboardInterrupt)[way]

    @command
    def plant(self, tree: Tree) -> int:
        return len(tree.children)

    @command
    def strict(self, value: Strict) -> int:
        return value.number

    @command
    def loose(self, value: Loose) -> int:
        return value.number

    @query
    def large(self, size: int) -> bytes:
        return bytes(size)

    @query
    def power(self, exponent: int) -> int:
        return int(2**exponent)

    @query
    def facts(self, context: Context, offset: int = 0) -> tuple[int, int, int, bytes]:
        return context.position + offset, context.time_ns, context.client, context.random_bytes(4)


class Sets(StateMachine):
    words: set[str] = msgspec.field(default_factory=set)
    notes: dict[str, Note] = msgspec.field(default_factory=dict)
    places: list[Place] = msgspec.field(default_factory=list)
    numbers: frozenset[int] | None = None
    nested: set[frozenset[int]] = msgspec.field(default_factory=set)

    @query
    def all(self) -> set[str]:
        return self.words


class Derived(StateMachine, derived=("_sum", "_seen")):
    numbers: list[int] = msgspec.field(default_factory=list)
    _sum: int | None = None
    _seen: list[int] = msgspec.field(default_factory=list)

    @command
    def add(self, number: int) -> int:
        self.numbers.append(number)
        self._seen.append(number)
        self._sum = (sum(self.numbers[:-1]) if self._sum is None else self._sum) + number
        return self._sum


class Measured(StateMachine, floats=True):
    value: float = 0.5

    @command
    def scale(self, factor: float) -> float:
        self.value *= factor
        return self.value


def call(machine: StateMachine, name: str, *arguments: Any) -> bytes:
    return machine.apply(encode_operation(name, arguments), Context(5, 6, 70000, b"seed"))


def test_an_outcome_tells_done_rejected_failed_and_invalid_apart() -> None:
    machine = Subject()
    assert decode_outcome(call(machine, "note", "a", 2), list[str]) == ["a", "a"]
    assert decode_outcome(call(machine, "note", "b"), list[str]) == ["a", "a", "b"]
    rejected = call(machine, "refuse", "no funds")
    assert (outcome_kind(rejected), outcome_reason(rejected)) == (REJECTED, "no funds")
    failed = call(machine, "fail", "secret")
    assert failed == msgspec.msgpack.encode((FAILED, "KeyError"))
    with pytest.raises(Refused, match="raised KeyError"):
        decode_outcome(failed, None)
    assert machine.count == 2  # what was changed before raising stays


@pytest.mark.parametrize(
    "operation",
    [
        b"",
        b"\x92",
        b"\x92\xa4note",
        b"\x93\xa4note\x91\xa1a\x00",
        encode_operation("nothing", []),
        encode_operation("snapshot", []),
        encode_operation("note", []),
        encode_operation("note", [1]),
        encode_operation("note", ["a", "1"]),
        encode_operation("note", ["a", 1.0]),
        encode_operation("note", ["a", 1, 2]),
        encode_operation("note", ["a"]) + b"\x00",
        encode_operation("facts", [1, 2]),
        encode_operation("strict", [{"number": 13}]),
        encode_operation("strict", [{"number": 1, "more": 2}]),
        b"\x92\xa4note\x91\xa1\xff",
        b"\x92\xd9\xff",
        b"\x92\xc4\x04note\x90",
    ],
)
def test_a_wrong_operation_is_invalid_and_changes_nothing(operation: bytes) -> None:
    machine = Subject()
    before = machine.snapshot()
    outcome = machine.apply(operation, Context(1, 1, 70000, b""))
    assert outcome_kind(outcome) == INVALID
    assert msgspec.msgpack.decode(outcome)[0] == INVALID
    assert machine.snapshot() == before


@given(st.binary(max_size=40))
def test_no_operation_makes_apply_raise(noise: bytes) -> None:
    machine = Subject()
    for operation in (noise, b"\x92" + noise, encode_operation("note", [])[:-1] + noise):
        assert outcome_kind(machine.apply(operation, Context(1, 1, 70000, b""))) in (DONE, INVALID)


def tree(depth: int) -> bytes:
    return b"\x81\xa8children\x91" * depth + b"\x80"


def test_arguments_nested_too_deep_are_invalid() -> None:
    """Pair, arguments, then a map and an array a level, then the innermost map."""
    machine = Subject()
    fits = (NESTING_MAX - 3) // 2
    assert outcome_kind(machine.apply(b"\x92\xa5plant\x91" + tree(fits), Context(1, 1, 7, b""))) == DONE
    for depth in (fits + 1, 20_000):
        outcome = machine.apply(b"\x92\xa5plant\x91" + tree(depth), Context(1, 1, 7, b""))
        assert "nested too deep" in outcome_reason(outcome)
    for depth in (100, 20_000):  # in a field that the decoder skips
        hidden = msgspec.msgpack.encode({"number": 1, "x": None})[:-1] + b"\x91" * depth + b"\xc0"
        assert outcome_kind(machine.apply(b"\x92\xa6strict\x91" + hidden, Context(1, 1, 7, b""))) == INVALID
        outcome = machine.apply(b"\x92\xa5loose\x91" + hidden, Context(1, 1, 7, b""))
        assert "nested too deep" in outcome_reason(outcome)


_values = st.recursive(
    st.none() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=300) | st.text(max_size=40) | st.floats(),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=3), inner, max_size=20),
    max_leaves=30,
)


@given(_values)
def test_nesting_is_counted_right(value: Any) -> None:
    def depth(one: Any) -> int:
        if isinstance(one, dict):
            return 1 + max(map(depth, one.values()), default=0)
        return 1 + max(map(depth, one), default=0) if isinstance(one, list) else 0

    data = msgspec.msgpack.encode(value)
    for wraps in (0, NESTING_MAX - 2, NESTING_MAX - 1, NESTING_MAX, NESTING_MAX + 1):
        assert nested_too_deep(b"\x91" * wraps + data) == (wraps + depth(value) > NESTING_MAX)


@pytest.mark.parametrize("way", [0, 1, 2])
def test_exhaustion_and_exit_stop_the_replica(way: int) -> None:
    with pytest.raises((MemoryError, SystemExit, KeyboardInterrupt)):
        call(Subject(), "exhaust", way)


def test_results_too_large_or_not_writable_are_failures() -> None:
    machine = Subject()
    assert outcome_kind(call(machine, "large", RESULT_BYTES_MAX - 100)) == DONE
    assert call(machine, "large", RESULT_BYTES_MAX) == TOO_LARGE
    assert call(machine, "power", 70) == msgspec.msgpack.encode((FAILED, "OverflowError"))


def test_a_context_is_passed_where_it_is_asked_for() -> None:
    position, time_ns, client, drawn = decode_outcome(call(Subject(), "facts", 10), tuple[int, int, int, bytes])
    assert (position, time_ns, client) == (15, 6, 70000)
    assert drawn == Context(5, 6, 70000, b"seed").random_bytes(4)


def test_defaults_are_copied_for_each_instance_and_each_call() -> None:
    first, second = Subject(), Subject()
    call(first, "note", "a")
    first.table["start"].append(2)
    assert (second.log, second.table, Subject.log) == ([], {"start": [1]}, [])
    call(first, "fill")
    call(first, "fill")
    assert first.table["row"] == [7, 1]


def test_a_restored_machine_is_the_same_and_keeps_the_order_of_dicts() -> None:
    machine, other = Subject(), Subject()
    machine.table = {"z": [1], "a": [2**63, -5], "m": []}
    other.restore(machine.snapshot())
    assert list(other.table.items()) == list(machine.table.items())
    assert other.snapshot() == machine.snapshot()


@given(st.lists(st.integers(), max_size=5), st.integers())
def test_integers_of_any_size_survive_a_snapshot(row: list[int], count: int) -> None:
    machine, other = Subject(), Subject()
    machine.table, machine.count = {"b": row, "a": row}, count << 60
    other.restore(machine.snapshot())
    assert (list(other.table.items()), other.count) == (list(machine.table.items()), machine.count)
    assert other.snapshot() == machine.snapshot()


@given(st.lists(st.text(max_size=4), max_size=8), st.randoms(use_true_random=False))
def test_equal_sets_give_equal_bytes_however_they_were_filled(words: list[str], random: Any) -> None:
    def build(order: list[str]) -> Sets:
        machine = Sets()
        for word in order:
            machine.words.add(word)
        machine.notes = {"n": Note("t", set(order))}
        machine.places = [Place(1, frozenset(order))]
        machine.numbers = frozenset(2 ** (60 + len(word)) for word in order)
        machine.nested = {frozenset({len(word), 1 << 70}) for word in order}
        return machine

    shuffled = list(words)
    random.shuffle(shuffled)
    machine, twin, restored = build(words), build(shuffled), Sets()
    restored.restore(machine.snapshot())
    assert machine.snapshot() == twin.snapshot() == restored.snapshot()
    assert vars(restored) == vars(machine)
    written = msgspec.msgpack.decode(call(machine, "all"))[1]
    assert written == sorted(written, key=msgspec.msgpack.encode)


def test_derived_attributes_are_not_in_snapshots_and_start_anew() -> None:
    machine, other = Derived(), Derived()
    assert decode_outcome(call(machine, "add", 5), int) == 5
    call(other, "add", 99)
    other.restore(machine.snapshot())
    assert (other._sum, other._seen) == (None, [])
    assert decode_outcome(call(other, "add", 2), int) == 7
    assert decode_outcome(call(machine, "add", 2), int) == 7
    assert other.snapshot() == machine.snapshot()


@pytest.mark.parametrize(
    "damage", [b"", b"\x93", b"\x93\x02\x90\xc4\x00", b"\x93\x01\x90\x90", b"\x93\x01\x91\xa1x\x91\x00"]
)
def test_a_foreign_snapshot_is_a_lie_and_changes_nothing(damage: bytes) -> None:
    machine = Subject()
    call(machine, "note", "a")
    before = machine.snapshot()
    for bytes_ in (damage, Derived().snapshot(), before[:-1], before + b"\x00"):
        with pytest.raises(Lie):
            machine.restore(bytes_)
    assert machine.snapshot() == before


def test_undeclared_missing_and_unwritable_state_is_a_mistake() -> None:
    machine = Subject()
    machine.extra = 1  # type: ignore[attr-defined]
    with pytest.raises(Mistake, match=r"sets self.extra and does not declare it"):
        machine.snapshot()
    machine = Subject()
    del machine.count
    with pytest.raises(Mistake, match=r"Subject.count is declared and has no value"):
        machine.snapshot()
    machine.count = lambda: None  # type: ignore[assignment]
    with pytest.raises(Mistake, match=r"Subject.count holds something that cannot be written"):
        machine.snapshot()


def test_floats_need_to_be_asked_for() -> None:
    assert decode_outcome(call(Measured(), "scale", 3.0), float) == 1.5

    class InState(StateMachine):
        rows: dict[str, list[float]] = msgspec.field(default_factory=dict)

        @command
        def go(self) -> None: ...

    class InArgument(StateMachine):
        @command
        def go(self, amount: float) -> None: ...

    class InResult(StateMachine):
        @command
        def go(self) -> tuple[int, float | None]:
            return 1, None

    for unfit in (InState, InArgument, InResult):
        with pytest.raises(Mistake, match="round differently"):
            unfit()


def define(**body: Any) -> type[StateMachine]:
    """A class built from functions whose annotations are objects already."""
    made = type("Made", (StateMachine,), {"__module__": __name__, **body})
    made()
    return made


def _good(self: Any, x: int) -> int:
    return x


def _stars(self: Any, *values: int) -> None: ...
def _words(self: Any, **values: int) -> None: ...
def _keyword(self: Any, *, value: int) -> None: ...
def _bare(self: Any, value) -> None: ...  # type: ignore[no-untyped-def]
def _mute(self: Any, value: int): ...  # type: ignore[no-untyped-def]
def _anything(self: Any, value: Any) -> None: ...
def _foreign(self: Any, value: Context | int) -> None: ...
def _missing(self: Any, value: Missing) -> None: ...  # type: ignore[name-defined] # noqa: F821
async def _async(self: Any) -> None: ...
def _yields(self: Any) -> list[int]:  # type: ignore[misc]
    yield 1


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        (_stars, r"takes values by \*"),
        (_words, r"takes values by \*"),
        (_keyword, r"takes value by \*"),
        (_bare, "does not say what type value has"),
        (_mute, "does not say what it returns"),
        (_anything, "does not say what it holds"),
        (_foreign, "type"),
        (_missing, "cannot be resolved"),
        (_async, "no async"),
        (_yields, "no yield"),
    ],
)
def test_a_method_that_cannot_be_a_command_is_a_mistake(method: Any, sentence: str) -> None:
    with pytest.raises(Mistake, match=sentence):
        define(go=command(method))


def test_a_class_that_cannot_be_replicated_is_a_mistake() -> None:
    good = command(_good)
    assert list(describe(define(list=good, __annotations__={"items": "list[int]"}, items=[])).commands) == ["list"]
    for body, sentence in (
        ({}, "has no command"),
        ({"go": good, "items": []}, "shared by all instances"),
        ({"restore": good}, "rename it"),
        ({"go": good, "__annotations__": {"apply": int}}, "rename it"),
        ({"go": staticmethod(good)}, "not a plain method"),
        ({"go": good, "snapshot": lambda self: b""}, "both snapshot and restore"),
        ({"go": good, "__annotations__": {"value": "Nowhere"}}, "cannot be resolved"),
        ({"go": good, "__annotations__": {"value": dict[frozenset[str], int]}}, "sets as keys"),
        ({"go": good, "__annotations__": {"value": object}}, "type"),
        ({"go": good, "__annotations__": {"value": list[Any]}}, "does not say what it holds"),
    ):
        with pytest.raises(Mistake, match=sentence):
            define(**body)
    assert define(go=good, items=[], __annotations__={"items": ClassVar[list[int]]}) is not None
    with pytest.raises(Mistake, match="derived"):
        type("Made", (StateMachine,), {"go": good}, derived=("gone",))()
    with pytest.raises(Mistake, match="every replica alike"):
        Subject(3)
    with pytest.raises(Mistake):
        StateMachine()


def test_an_override_stays_a_command_and_an_own_init_is_run() -> None:
    class Child(Subject):
        def __init__(self) -> None:
            self.count = len(self.log) + 40

        def refuse(self, text: str) -> None:
            self.count += 2

    machine = Child()
    assert outcome_kind(call(machine, "refuse", "x")) == DONE
    assert machine.count == 42
    assert machine.table == {"start": [1]}
