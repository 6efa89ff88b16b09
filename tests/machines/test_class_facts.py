"""What a class says about itself, down to the places where one of several facts decides."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import AsyncIterator
from typing import Annotated, Any, ClassVar, Final

import msgspec
import pytest

from outvote.errors import Lie, Mistake
from outvote.machines.contract import Context
from outvote.machines.interface import describe
from outvote.machines.machine import StateMachine, command, query
from outvote.machines.operations import DONE, INVALID, TOO_LARGE, encode_operation, outcome_kind, outcome_reason
from outvote.wire.client_messages import RESULT_BYTES_MAX


class Tree(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    below: tuple[Tree, ...] = ()


class Forest(StateMachine):
    count: int = 0
    spare: int

    @command
    def plant(self, tree: Tree, times: int) -> int:
        self.count += times
        return self.count

    @command
    def name(self, times: int, tree: Tree = Tree()) -> int:  # noqa: B008 - frozen
        """Names it."""
        return times

    @query
    def where(self, first: int, context: Context, second: int) -> tuple[int, int, int]:
        return first, context.position, second


def operation(name: bytes, *arguments: bytes) -> bytes:
    return b"\x92" + bytes([0xA0 + len(name)]) + name + bytes([0x90 + len(arguments)]) + b"".join(arguments)


CONTEXT = Context(5, 1, 70000, b"")


@pytest.mark.parametrize("name", [b"plant", b"name"])
def test_one_argument_that_may_be_deep_is_enough_to_look(name: bytes) -> None:
    forest = Forest()
    for levels, kind in ((3, DONE), (3000, INVALID)):
        tree = b"\x91" * (2 * levels) + b"\x90"
        arguments = (tree, b"\x01") if name == b"plant" else (b"\x01", tree)
        outcome = forest.apply(operation(name, *arguments), CONTEXT)
        assert outcome_kind(outcome) == kind
        if kind == INVALID:
            assert "nested too deep" in outcome_reason(outcome)


def test_a_context_stands_where_it_was_asked_for() -> None:
    interface = describe(Forest)
    assert interface.decode("where", Forest().apply(interface.encode("where", (3, 4)), CONTEXT)) == (3, 5, 4)
    assert [one.name for one in interface.command("where").parameters] == ["first", "second"]


def test_parameters_have_defaults_or_are_required() -> None:
    interface = describe(Forest)
    assert [(one.name, one.required, one.default) for one in interface.command("name").parameters] == [
        ("times", True, None), ("tree", False, Tree()),
    ]
    assert interface.command("name").doc == "Names it."
    assert interface.command("plant").doc == ""
    assert interface.command("where").query
    assert not interface.command("name").query


def test_an_attribute_without_a_default_has_no_value_until_it_is_given_one() -> None:
    forest = Forest()
    assert not hasattr(forest, "spare")
    with pytest.raises(Mistake, match=r"Forest.spare is declared and has no value"):
        forest.snapshot()


def test_instances_are_made_without_arguments() -> None:
    for wrong, arguments, keywords in ((Forest, (1,), {}), (Forest, (), {"count": 1}), (StateMachine, (), {})):
        with pytest.raises(Mistake, match=r"so write \w+\(\) of a subclass"):
            wrong(*arguments, **keywords)


class Rounded(StateMachine, floats=True):
    level: float = 0.0

    @command
    def set(self, level: float) -> float:
        self.level = level
        return level


class RoundedToo(Rounded):
    more: float = 1.0


class Derived(Rounded, derived=("cache",)):
    cache: int = 0


class DerivedTwice(Derived, derived=("other",)):
    other: int = 0


def test_what_a_base_allows_its_subclasses_may() -> None:
    assert RoundedToo().snapshot()
    assert Derived.blueprint().attributes == ("level",)
    assert DerivedTwice.blueprint().attributes == ("level",)
    assert DerivedTwice.blueprint().derived == ("cache", "other")
    assert DerivedTwice.blueprint() is not Derived.blueprint()
    assert Derived.blueprint() is Derived.blueprint()
    assert not describe(Rounded).command("set").query

    class Plain(StateMachine):
        level: float = 0.0

        @command
        def go(self) -> None: ...

    with pytest.raises(Mistake, match="round differently"):
        Plain()


def test_keywords_that_are_none_of_ours_are_refused_by_python() -> None:
    with pytest.raises(TypeError):
        types.new_class("Painted", (StateMachine,), {"colour": "red"})


# ---------------------------------------------------------------------- shapes of a class


class Varied(StateMachine):
    limit: ClassVar[int] = 9
    loose: ClassVar = "x"
    fixed: Final[int] = 4
    plain: list[int] = dataclasses.field(default_factory=list)
    shared: int = dataclasses.field(default=3)
    bare: int = dataclasses.field()
    rows: dict[str, int] = msgspec.field(default_factory=dict)
    deep: list[list[int]] = msgspec.field(default=[[1]])
    empty: int = msgspec.field()

    @command
    def grow(self, by: list[int] = [], words: str = "w") -> int:  # noqa: B006 - copied for each call
        by.append(1)
        return len(by)


def test_defaults_come_from_every_kind_of_field() -> None:
    one, other = Varied(), Varied()
    assert (one.fixed, one.plain, one.shared, one.rows, one.deep) == (4, [], 3, {}, [[1]])
    assert "bare" not in vars(one)
    assert "empty" not in vars(one)
    one.deep[0].append(2)
    one.plain.append(1)
    one.rows["a"] = 1
    assert (other.plain, other.rows, other.deep) == ([], {}, [[1]])
    assert Varied.blueprint().attributes == ("fixed", "plain", "shared", "bare", "rows", "deep", "empty")
    assert Varied.blueprint().types["fixed"] is int
    assert not Varied.blueprint().has_sets


def test_defaults_of_arguments_are_copied_for_each_call() -> None:
    varied, interface = Varied(), describe(Varied)
    for _ in range(2):
        assert interface.decode("grow", varied.apply(b"\x92\xa4grow\x90", CONTEXT)) == 1
    too_many = operation(b"grow", b"\x90", b"\xa1x", b"\xc0")
    assert outcome_kind(varied.apply(too_many, CONTEXT)) == INVALID


class OwnSnapshot(StateMachine):
    """Writes what it likes, of a type that could not be written otherwise."""

    anything: object = None
    count: int = 0

    @command
    def add(self) -> int:
        self.count += 1
        return self.count

    def snapshot(self) -> bytes:
        return bytes([self.count])

    def restore(self, snapshot: bytes) -> None:
        self.count = snapshot[0]


def test_a_class_with_a_snapshot_of_its_own_declares_what_it_likes() -> None:
    assert OwnSnapshot.blueprint().own_snapshot
    assert not Varied.blueprint().own_snapshot
    assert not OwnSnapshot.blueprint().has_sets
    one = OwnSnapshot()
    one.add()
    again = OwnSnapshot()
    again.restore(one.snapshot())
    assert again.count == 1


def made(body: dict[str, Any]) -> type[StateMachine]:
    """A class, looked at as when it is first used."""
    kind: type[StateMachine] = type("Made", (StateMachine,), {"__module__": __name__, **body})
    kind.blueprint()
    return kind


def go(self: Any) -> None: ...


async def streams(self: Any) -> AsyncIterator[int]:
    yield 1


def selfless() -> None: ...


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "Made has no command"),
        ({"go": command(go), "snapshot": lambda self: b""}, "both snapshot and restore"),
        ({"go": command(go), "restore": lambda self, data: None}, "both snapshot and restore"),
        ({"n" * 256: command(go)}, "a name of more than 255 bytes"),
        ({"__add__": command(go)}, "every machine has a method of this name"),
        ({"snapshot": command(go)}, "every machine has a method of this name"),
        ({"go": command(streams)}, "no async, no yield"),
        ({"go": command(selfless)}, "takes no self"),
        ({"go": command(go), "rows": []}, "would be shared by all instances"),
        ({"go": command(go), "apply": 1, "__annotations__": {"apply": int}}, "the name of a method of every machine"),
    ],
)
def test_what_is_wrong_with_a_class_is_said(body: dict[str, Any], words: str) -> None:
    with pytest.raises(Mistake, match=words):
        made(body)


def test_the_longest_name_has_255_bytes_and_dunders_may_be_mutable() -> None:
    kind = made({"n" * 255: command(go), "__doc__": "x", "__extra__": []})
    assert kind().apply(b"\x92\xd9\xff" + b"n" * 255 + b"\x90", CONTEXT) == b"\x92\x00\xc0"


def test_what_is_derived_is_declared_and_has_a_default() -> None:
    for declared, words in (({}, "does not declare it"), ({"cache": int}, "needs a default to start from")):

        def fill(body: dict[str, Any], declared: dict[str, Any] = declared) -> None:
            body.update({"__module__": __name__, "go": command(go), "__annotations__": declared})

        kind = types.new_class("Made", (StateMachine,), {"derived": ("cache",)}, fill)
        with pytest.raises(Mistake, match=words):
            kind()


# ---------------------------------------------------------------------- snapshots of other classes


class Small(StateMachine):
    value: int = 0

    @command
    def go(self) -> None: ...


class Wide(StateMachine):
    value: int = 0
    other: int = 0

    @command
    def go(self) -> None: ...


class Renamed(StateMachine):
    number: int = 0

    @command
    def go(self) -> None: ...


def test_a_snapshot_of_another_shape_is_a_lie_and_changes_nothing() -> None:
    small = Small()
    small.value = 7
    good = small.snapshot()
    for data in (
        Wide().snapshot(), Renamed().snapshot(), b"\x93\x03\x91\xa5value\x91\x07", b"\x93\x00\x91\xa5value\x91\x07",
        b"\x93\x01\x91\xa5value\x92\x07\x08", b"\x93\x01\x91\xa5value\x90", b"\x93\x02\x91\xa6number\xc4\x02\x91\x07",
        b"\x93\x02\x91\xa5value\xc4\x03\x92\x07\x08",
    ):
        with pytest.raises(Lie):
            small.restore(data)
    assert small.snapshot() == good


# ---------------------------------------------------------------------- constraints, and when a mistake is found


class Guarded(StateMachine):
    class Level(msgspec.Struct, frozen=True):
        """Declared inside, so that its name is known in the class body only."""

        metres: Annotated[int, msgspec.Meta(ge=0)]

    level: Annotated[int, msgspec.Meta(le=9)] = 0
    inner: Annotated[tuple[Level, ...], msgspec.Meta(max_length=1)] = ()

    @command
    def rise(self, by: Annotated[int, msgspec.Meta(ge=1)]) -> int:
        self.level += by
        return self.level


def test_constraints_of_types_hold_for_arguments_and_states() -> None:
    one = Guarded()
    assert outcome_kind(one.apply(operation(b"rise", b"\x01"), CONTEXT)) == DONE
    assert outcome_kind(one.apply(operation(b"rise", b"\x00"), CONTEXT)) == INVALID
    assert one.level == 1
    one.inner = (Guarded.Level(1), Guarded.Level(2))
    with pytest.raises(Lie, match="does not fit"):
        Guarded().restore(one.snapshot())
    one.inner, one.level = (), 10
    with pytest.raises(Lie, match="does not fit"):
        Guarded().restore(one.snapshot())


def test_what_can_be_seen_at_once_is_said_when_the_class_is_made() -> None:
    with pytest.raises(Mistake, match="no async"):
        type("Made", (StateMachine,), {"__module__": __name__, "go": command(streams)})


class Blob(StateMachine):
    @query
    def zeros(self, size: int) -> bytes:
        return bytes(size)


def test_a_result_may_have_every_byte_that_an_answer_has() -> None:
    """Seven bytes say that it is done, and how long it is."""
    outcome = Blob().apply(encode_operation("zeros", [RESULT_BYTES_MAX - 7]), CONTEXT)
    assert len(outcome) == RESULT_BYTES_MAX
    assert Blob().apply(encode_operation("zeros", [RESULT_BYTES_MAX - 6]), CONTEXT) == TOO_LARGE
