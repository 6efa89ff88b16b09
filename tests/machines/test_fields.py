"""A class's state in the map: what is written at a checkpoint is what a fresh look would write, whatever was done."""

from __future__ import annotations

import copy
import enum
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outvote.core.contract import Delivery, Request
from outvote.errors import Lie, Mistake
from outvote.machines.contract import Context, Machine
from outvote.machines.executor import Executor, Snapshot
from outvote.machines.fields import Fields
from outvote.machines.item_form import INLINE_KEY_BYTES_MAX
from outvote.machines.key_value import KeyValueStore
from outvote.machines.leaves import PIECE_BYTES, Draft, long_names, read
from outvote.machines.machine import StateMachine, command, query
from outvote.machines.merkle_image import PAGE_BYTES, read_image, salvage
from outvote.machines.merkle_map import EMPTY, MerkleMap
from outvote.machines.operations import encode_operation
from outvote.machines.tracked_dict import TouchingDict, TrackedDict


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Box(msgspec.Struct):
    """A value that can be changed in place."""

    content: list[int]


class Everything(StateMachine, derived=("_cache",)):
    """Every way in which a class may hold state."""

    numbers: dict[str, int] = msgspec.field(default_factory=dict)
    boxes: dict[int, Box] = msgspec.field(default_factory=dict)
    pairs: dict[tuple[int, Colour], frozenset[int]] = msgspec.field(default_factory=dict)
    groups: dict[str, set[str]] = msgspec.field(default_factory=dict)
    maybe: dict[int | None, str] = msgspec.field(default_factory=dict)
    log: list[str] = msgspec.field(default_factory=list)
    last: str | None = None
    count: int = 0
    _cache: int = 0

    @command
    def do(self, step: int, key: int, amount: int) -> None:
        STEPS[step % len(STEPS)](self, key, amount)
        self.count += 1

    @query
    def total(self) -> int:
        self._cache += 1
        return sum(len(box.content) for box in self.boxes.values())


def swap(one: Everything, key: int, amount: int) -> None:
    old, one.numbers = one.numbers, {str(key): amount}
    one.log.append(",".join(old))


def alias(one: Everything, key: int, amount: int) -> None:
    copied = one.boxes.copy()
    copied.setdefault(key, Box([])).content.append(amount)


def through_dict(one: Everything, key: int, amount: int) -> None:
    for box in dict(one.boxes).values():
        box.content.append(amount)


def over_keys(one: Everything, key: int, amount: int) -> None:
    for each in one.boxes:
        one.boxes[each].content[:] = [amount]


STEPS: list[Callable[[Everything, int, int], Any]] = [
    lambda one, key, amount: one.numbers.__setitem__(str(key), amount),
    lambda one, key, amount: one.numbers.pop(str(key), None),
    lambda one, key, amount: one.numbers.update({str(key): amount}, extra=amount),
    lambda one, key, amount: one.numbers.clear(),
    lambda one, key, amount: one.numbers.popitem(),
    lambda one, key, amount: setattr(one, "numbers", {**one.numbers, str(key): 1 << amount}),
    lambda one, key, amount: setattr(one, "numbers", one.numbers | {str(key): amount}),
    lambda one, key, amount: setattr(one, "last", ",".join(one.numbers)),
    lambda one, key, amount: one.numbers.__ior__({str(key): amount}),
    lambda one, key, amount: one.boxes.setdefault(key, Box([])).content.append(amount),
    lambda one, key, amount: one.boxes[key].content.append(amount),
    lambda one, key, amount: one.boxes.get(key, Box([])).content.append(amount),
    lambda one, key, amount: next(iter(one.boxes.values())).content.append(amount),
    lambda one, key, amount: [*one.boxes.items()][-1][1].content.append(amount),
    lambda one, key, amount: one.boxes.__delitem__(key),
    lambda one, key, amount: one.boxes.__setitem__(bool(key), Box([amount])),
    lambda one, key, amount: one.boxes.pop(key).content.append(amount),
    lambda one, key, amount: one.pairs.__setitem__((key, Colour.RED), frozenset([amount, key])),
    lambda one, key, amount: one.pairs.pop((key, Colour.RED)),
    lambda one, key, amount: one.groups.setdefault(str(key), set()).add(str(amount)),
    lambda one, key, amount: one.groups[str(key)].discard(str(amount)),
    lambda one, key, amount: one.maybe.__setitem__(None if key == 1 else key, str(amount)),
    lambda one, key, amount: one.numbers.__setitem__("k" * INLINE_KEY_BYTES_MAX + str(key), amount),
    lambda one, key, amount: one.numbers.pop("k" * INLINE_KEY_BYTES_MAX + str(key)),
    lambda one, key, amount: one.log.append("x" * (amount * PIECE_BYTES)),
    lambda one, key, amount: one.log.clear(),
    lambda one, key, amount: setattr(one, "numbers", {key: value + 1 for key, value in one.numbers.items()}),
    lambda one, key, amount: 1 // 0,
    swap,
    alias,
    through_dict,
    over_keys,
]

STEP = st.tuples(st.integers(0, len(STEPS) - 1), st.integers(0, 3), st.integers(0, 70) | st.integers(0, 3))


def deliver(executor: Executor, *steps: tuple[int, int, int]) -> None:
    number = executor.position + 1
    operations = tuple(encode_operation("do", list(step)) for step in steps)
    executor.deliver(Delivery(number, number, (Request(70_000, number, number - 1, operations, b""),), 0, False))


def fresh(state: MerkleMap) -> Executor:
    executor = Executor(Everything())
    executor.install(state)
    return executor


def whole(executor: Executor) -> dict[str, Any]:
    return attributes(executor.machine)


def attributes(machine: Machine) -> dict[str, Any]:
    """With the order of dicts."""
    return {name: (value, list(value)) if isinstance(value, dict) else value for name, value in vars(machine).items()}


@given(st.lists(st.lists(STEP, max_size=4), min_size=1, max_size=10), st.lists(st.booleans(), min_size=10))
@settings(deadline=None, max_examples=150)
def test_checkpoints_depend_on_the_state_and_not_on_earlier_ones(
    batches: list[list[tuple[int, int, int]]], checkpoints: list[bool]
) -> None:
    """One executor writes after each delivery, one now and then, one begins anew from each: all agree, and the order
    of every dict is the one that it would have without any of this."""
    often, seldom, plain = Executor(Everything()), Executor(Everything()), Everything()
    for batch, now in zip(batches, checkpoints, strict=False):
        deliver(often, *batch)
        deliver(seldom, *batch)
        for step in batch:
            plain.apply(encode_operation("do", list(step)), Context(1, 1, 1, b""))
        assert whole(often) == attributes(plain)
        snapshot = often.checkpoint()
        assert snapshot.digest == MerkleMap().update({leaf.key: leaf.value for leaf in snapshot.state.leaves()}).digest
        if now:
            assert seldom.checkpoint() == snapshot
        again = fresh(read_image(snapshot.data))
        assert again.checkpoint() == snapshot
        assert whole(again) == {**whole(often), "_cache": 0}
    assert seldom.checkpoint() == often.checkpoint()


@given(st.lists(STEP, max_size=12), st.lists(STEP, max_size=6), st.lists(STEP, max_size=6))
@settings(deadline=None, max_examples=150)
def test_rewinding_gives_the_state_that_was(
    first: list[tuple[int, int, int]], undone: list[tuple[int, int, int]], later: list[tuple[int, int, int]]
) -> None:
    executor = Executor(Everything())
    deliver(executor, *first)
    snapshot = executor.checkpoint()
    twin = fresh(snapshot.state)
    for step in undone:
        deliver(executor, step)
    executor.rewind(snapshot)
    assert executor._long == long_names(executor.saved)
    assert whole(executor) == whole(twin)
    assert executor.checkpoint() == snapshot == twin.checkpoint()
    for step in later:
        deliver(executor, step)
        deliver(twin, step)
    assert executor.checkpoint() == twin.checkpoint()
    assert executor.history == twin.history


def changed_leaves(executor: Executor, work: Callable[[], object]) -> int:
    before = executor.checkpoint().state
    work()
    return len(list(executor.checkpoint().state.changed_since(before)))


class Shelf(StateMachine):
    boxes: dict[str, Box] = msgspec.field(default_factory=dict)

    @command
    def put(self, name: str, number: int) -> None:
        self.boxes.setdefault(name, Box([])).content.append(number)


def test_what_was_not_touched_is_not_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    executor = Executor(Shelf())
    put = [encode_operation("put", [f"box {index}", index]) for index in range(200)]
    executor.deliver(Delivery(1, 1, (Request(70_000, 1, 0, tuple(put), b""),), 0, False))
    executor.checkpoint()
    written: list[bytes] = []
    original = Draft.put

    def put_down(draft: Draft, name: bytes, data: bytes) -> None:
        written.append(name[:1])
        original(draft, name, data)

    monkeypatch.setattr(Draft, "put", put_down)
    executor.deliver(Delivery(2, 2, (Request(70_001, 1, 0, tuple(put[7:9]), b""),), 0, False))
    executor.checkpoint()
    assert written.count(b"i") == 2
    assert written.count(b"c") == 1, "one client did something"


class Behind(StateMachine, derived=("_by_number",)):
    """Its values are changed through an attribute that no snapshot holds."""

    boxes: dict[str, Box] = msgspec.field(default_factory=dict)
    plain: dict[str, int] = msgspec.field(default_factory=dict)
    _by_number: list[Box] = msgspec.field(default_factory=list)

    @command
    def put(self, name: str, number: int) -> None:
        if not self._by_number:
            self._by_number = list(self.boxes.values())
        if name in self.boxes:
            self._by_number[0].content.append(number)
            return
        self.boxes[name] = Box([])
        self._by_number.append(self.boxes[name])


def test_values_that_can_be_changed_from_behind_are_looked_at_each_time() -> None:
    executor = Executor(Behind())
    for number in range(1, 6):
        operation = encode_operation("put", ["a", number])
        executor.deliver(Delivery(number, 1, (Request(70_000, number, 0, (operation,), b""),), 0, False))
        snapshot = executor.checkpoint()
        again = Executor(Behind())
        again.install(snapshot.state)
        assert vars(again.machine)["boxes"] == vars(executor.machine)["boxes"]


def test_a_store_looks_at_no_item_that_was_only_read() -> None:
    """Its entries are frozen, so it needs none of the slower dicts."""
    store = KeyValueStore()
    Fields(store)
    assert type(store.entries) is TrackedDict
    shelf = Shelf()
    Fields(shelf)
    assert type(shelf.boxes) is TouchingDict


def test_a_tracked_dict_passes_for_a_dict() -> None:
    for kind in (TrackedDict, TouchingDict):
        one: TrackedDict[str, int] = kind({"b": 1, "a": 2})
        assert isinstance(one, dict)
        assert (repr(one), one == {"a": 2, "b": 1}, list(one)) == ("{'b': 1, 'a': 2}", True, ["b", "a"])
        for copied in (copy.copy(one), copy.deepcopy(one), one.copy(), dict(one), one | {}, {} | one, {**one}):
            assert type(copied) is dict
            assert list(copied.items()) == [("b", 1), ("a", 2)]
        assert one.pop("none", 7) == 7
        with pytest.raises(KeyError, match="none"):
            one.pop("none")
        with pytest.raises(KeyError, match="none"):
            one["none"]
        assert one.get("none") is None
        assert msgspec.msgpack.encode(one) == msgspec.msgpack.encode({"b": 1, "a": 2})
        assert one.popitem() == ("a", 2)
        one |= {"c": 3}
        assert type(one) is kind
        assert one == {"b": 1, "c": 3}
        assert msgspec.to_builtins(one) == {"b": 1, "c": 3}


def test_a_long_value_is_cut_and_joined_and_leaves_nothing_behind() -> None:
    state = EMPTY
    long: dict[bytes, int] = {}
    for size in (0, 1, PIECE_BYTES, PIECE_BYTES + 1, 5 * PIECE_BYTES, 3, 2 * PIECE_BYTES):
        draft = Draft(state, long)
        draft.write(b"name", b"x" * size)
        state = draft.done()
        assert long == long_names(state)
        assert read(state, b"name") == b"x" * size
        assert len(state) == max(1, -(-size // PIECE_BYTES))
    cut = state.update({b"\x00\x01name": None})
    with pytest.raises(Lie, match="piece"):
        read(cut, b"name")
    draft = Draft(state, long)
    draft.remove(b"name")
    assert draft.done() == EMPTY
    assert long == {}
    assert read(EMPTY, b"name") is None


def test_a_dict_that_is_none_is_a_mistake() -> None:
    class Odd(StateMachine):
        items: dict[str, int] = {}  # noqa: RUF012 - copied for each instance

        @command
        def lose(self) -> None:
            self.items = None  # type: ignore[assignment]

    executor = Executor(Odd())
    operation = encode_operation("lose", [])
    executor.deliver(Delivery(1, 1, (Request(70_000, 1, 0, (operation,), b""),), 0, False))
    with pytest.raises(Mistake, match="items"):
        executor.checkpoint()


def damaged_states() -> list[tuple[str, dict[bytes, bytes | None]]]:
    item = b"\x00\x00i\x00\x00\xa1"
    return [
        ("names", {b"\x00\x00n": None}),
        ("a state of x", {b"\x00\x00n": b"\x00\x01\x91\xa1x"}),
        ("missing", {b"\x00\x00f\x00\x07": None}),
        ("missing", {b"\x00\x00f\x00\x00": None}),
        ("does not fit", {item: b"\x00\x01" + bytes(6) + b"\xc0"}),
        ("does not fit", {b"\x00\x00i\x00\x09\xa1a": b"\x00\x01" + bytes(6) + b"\x01"}),
        ("one place", {b"\x00\x00i\x00\x00\xa1a": b"\x00\x01" + b"\x01" * 6 + b"\x01"}),
        ("one place", {b"\x00\x00i\x00\x00\xa1" + one: b"\x00\x01" + bytes(6) + b"\x01" for one in (b"a", b"b")}),
        ("cannot be read", {b"\x00\x00h": b"\x00\x01\x90"}),
        ("client table", {b"\x00\x00c" + bytes(8): b"\x00\x01\x90"}),
    ]


@pytest.mark.parametrize(("reason", "changes"), damaged_states())
def test_a_state_that_no_such_class_wrote_is_a_lie(reason: str, changes: dict[bytes, bytes | None]) -> None:
    executor = Executor(Everything())
    deliver(executor, (0, 1, 1))
    before = executor.checkpoint()
    with pytest.raises(Lie, match=reason):
        executor.install(before.state.update(changes))
    assert executor.checkpoint() == before


def an_image() -> Snapshot:
    executor = Executor(Everything())
    for key in range(300):
        deliver(executor, (0, key, key))
    return executor.checkpoint()


def test_an_image_is_read_whole_or_not_at_all_and_what_is_left_of_it_can_be_salvaged() -> None:
    snapshot = an_image()
    data, state = snapshot.data, snapshot.state
    assert read_image(data) == salvage(data) == state
    assert read_image(b"") == salvage(b"") == EMPTY
    for place in range(0, len(data), 7):
        damaged = data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]
        with pytest.raises(Lie):
            read_image(damaged)
        lost = len(list(state.changed_since(salvage(damaged))))
        assert lost <= 2 * PAGE_BYTES // 20 + 1, "the leaves of a page or two at most"
    with pytest.raises(Lie):
        read_image(data[:-1])
    assert len(list(state.changed_since(salvage(data[: len(data) // 2])))) < len(state) * 0.6


class SelfWritten(StateMachine):
    """Writes its snapshots itself."""

    text: str = ""

    @command
    def add(self, size: int) -> int:
        self.text += str(size) * size
        return len(self.text)

    def snapshot(self) -> bytes:
        return b"own:" + self.text.encode()

    def restore(self, snapshot: bytes) -> None:
        if not snapshot.startswith(b"own:"):
            raise Lie("not ours")
        self.text = snapshot[4:].decode()


def test_a_class_that_writes_its_own_snapshots_is_written_in_pieces() -> None:
    executor = Executor(SelfWritten())

    def add(size: int) -> None:
        number = executor.position + 1
        operation = encode_operation("add", [size])
        executor.deliver(Delivery(number, 1, (Request(70_000, number, number - 1, (operation,), b""),), 0, False))

    add(7)
    small = executor.checkpoint()
    add(3 * PIECE_BYTES // 6)
    large = executor.checkpoint()
    assert len(large.state) == len(small.state) + (7 + 5 * (PIECE_BYTES // 2)) // PIECE_BYTES
    twin = Executor(SelfWritten())
    twin.install(read_image(large.data))
    assert twin.machine.snapshot() == executor.machine.snapshot()
    executor.rewind(small)
    assert vars(executor.machine)["text"] == "7" * 7
    assert executor.checkpoint() == small
    with pytest.raises(Lie):
        twin.install(small.state.update({b"\0\0s": None}))
