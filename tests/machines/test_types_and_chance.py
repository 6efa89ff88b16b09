"""What is learnt about types, how words become values, and the agreed chance, down to single bytes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from hashlib import sha256
from typing import Annotated, Any, NamedTuple, TypedDict

import msgspec
import pytest

from outvote.errors import Mistake
from outvote.machines.contract import Context
from outvote.machines.interface import _type_name, describe, parse_value
from outvote.machines.machine import StateMachine, command
from outvote.machines.operations import NESTING_MAX
from outvote.machines.value_types import Facts, facts_of, ordered

# ---------------------------------------------------------------------- chance


def blocks(seed: bytes, first: int, count: int) -> bytes:
    return b"".join(sha256(seed + (first + index).to_bytes(8, "big")).digest() for index in range(count))


def test_random_bytes_are_blocks_of_a_counter_and_never_the_same_twice() -> None:
    context = Context(1, 1, 7, b"seed")
    assert context.random_bytes(0) == b""
    assert context.random_bytes(32) == blocks(b"seed", 0, 1)
    assert context.random_bytes(33) == blocks(b"seed", 1, 2)[:33]
    assert context.random_bytes(1) == blocks(b"seed", 3, 1)[:1]


@pytest.mark.parametrize("limit", [1, 2, 6, 255, 256, 1 << 63, 1 << 64, 1 << 200])
def test_random_numbers_take_16_bytes_more_than_the_limit_has(limit: int) -> None:
    count = 16 + limit.bit_length() // 8
    data = blocks(b"s", 0, -(-count // 32))[:count]
    drawn = Context(1, 1, 7, b"s").random_below(limit)
    assert drawn == int.from_bytes(data, "big") % limit
    assert 0 <= drawn < limit


@pytest.mark.parametrize("limit", [0, -1])
def test_there_is_no_number_below_0(limit: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Context(1, 1, 7, b"s").random_below(limit)


# ---------------------------------------------------------------------- facts of types


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    rows: list[int]


class Loose(msgspec.Struct):
    rows: set[int]


class Pair(NamedTuple):
    left: int
    right: list[int]


class Words(TypedDict):
    word: str


@dataclasses.dataclass
class Plain:
    rows: list[list[int]]


class Node(msgspec.Struct, forbid_unknown_fields=True):
    next: Node | None


def nested(levels: int) -> Any:
    kind: Any = int
    for _ in range(levels):
        kind = list[kind]
    return kind


@pytest.mark.parametrize(
    ("kind", "depth", "has_sets", "skips_unknown"),
    [
        (int, 0, False, False),
        (Annotated[int, msgspec.Meta(ge=3)], 0, False, False),
        (Annotated[list[set[int]], msgspec.Meta(max_length=3)], 2, True, False),
        (int | None, 0, False, False),
        (list[int], 1, False, False),
        (list[int] | None, 1, False, False),
        (tuple[int, list[int]], 2, False, False),
        (tuple[int, ...], 1, False, False),
        (frozenset[int], 1, True, False),
        (dict[str, list[list[int]]], 3, False, False),
        (dict[tuple[int, int], int], 1, False, False),
        (dict[str, set[int]], 2, True, False),
        (Strict, 2, False, False),
        (Loose, 2, True, True),
        (Pair, 2, False, False),
        (Words, 1, False, True),
        (Plain, 3, False, True),
        (list[Strict], 3, False, False),
        (Node, NESTING_MAX + 1, False, False),
        (nested(5), 5, False, False),
    ],
)
def test_what_is_learnt_about_a_type(kind: Any, depth: int, has_sets: bool, skips_unknown: bool) -> None:
    facts = facts_of(kind, False, "It")
    assert (facts.depth, facts.has_sets, facts.skips_unknown) == (depth, has_sets, skips_unknown)


def test_a_type_is_bounded_if_its_values_fit_into_an_operation() -> None:
    """The pair and the list of arguments around them are two levels."""
    assert facts_of(nested(NESTING_MAX - 2), False, "It").bounded
    assert not facts_of(nested(NESTING_MAX - 1), False, "It").bounded
    assert not facts_of(Loose, False, "It").bounded
    assert not facts_of(Node, False, "It").bounded
    assert Facts().bounded


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (float, "It holds a float"),
        (list[float | None], "It holds a float"),
        (Annotated[float, msgspec.Meta(ge=0)], "It holds a float"),
        (Annotated[list[float], msgspec.Meta(title="shares")], "It holds a float"),
        (dict[float, int], "It holds a float"),
        (tuple[int, float], "It holds a float"),
        (Any, "does not say what it holds"),
        (list[msgspec.Raw], "does not say what it holds"),
        (dict[frozenset[int], int], "sets as keys of a dict"),
        (list[int] | set[int], "cannot be sent or stored"),
        (Callable, "cannot be sent or stored|does not say what it holds"),
    ],
)
def test_a_type_that_replicas_could_disagree_on_is_refused(kind: Any, words: str) -> None:
    with pytest.raises(Mistake, match=words):
        facts_of(kind, False, "It")


def test_floats_may_be_asked_for_and_a_field_is_named() -> None:
    assert facts_of(list[float], True, "It").depth == 1

    class Odd(msgspec.Struct):
        share: float

    with pytest.raises(Mistake, match=r"It \(Odd.share\) holds a float"):
        facts_of(Odd, False, "It")


class Holder(msgspec.Struct, frozen=True):
    members: frozenset[int]
    inner: tuple[set[str], ...] = ()


def test_sets_are_sorted_wherever_they_stand_and_the_value_itself_is_left_alone() -> None:
    members = frozenset((3, 1, 2))
    holder = Holder(members, ({"b", "a"},))
    made = ordered(holder)
    assert (made.members, made.inner) == ([1, 2, 3], [["a", "b"]])
    assert holder.members is members
    assert ordered({"k": {2, 1}}) == {"k": [1, 2]}
    assert ordered([{300, 2}, 5]) == [[2, 300], 5]
    assert ordered({1 << 70, 1 << 71, 5}) == [5, 1 << 70, 1 << 71]
    assert ordered(Plain([[1]])) == {"rows": [[1]]}
    assert ordered("text") == "text"


# ---------------------------------------------------------------------- words of a command line


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("null", Annotated[str, msgspec.Meta(min_length=1)], "null"),
        ("x", Annotated[str, msgspec.Meta(min_length=1)] | None, "x"),
        ("null", Annotated[str, msgspec.Meta(min_length=1)] | None, None),
        ("5", str | None, "5"),
        ("5", bytes | None, b"5"),
        ("5", int | str, 5),
        ('"5"', int | str, "5"),
        ("null", int | str | None, None),
        ("7", int | None, 7),
        ('"x"', str, '"x"'),
        ('"x"', str | None, '"x"'),
        ('"x"', Annotated[str, msgspec.Meta(title="x")], '"x"'),
        ('"x"', bytes, b'"x"'),
        ("5", str | int, 5),
        ("5", bytes | int, 5),
    ],
)
def test_a_word_is_read_as_its_type_says(text: str, kind: Any, value: object) -> None:
    assert parse_value(text, kind) == value


@pytest.mark.parametrize(("text", "kind"), [("null", int), ("x", int | None), ("[1", list[int]), ("[1]", int | None)])
def test_a_word_that_is_no_value_of_its_type_is_refused(text: str, kind: Any) -> None:
    with pytest.raises(msgspec.MsgspecError):
        parse_value(text, kind)


class Shown(StateMachine):
    state: int = 0

    @command
    def several(self, first: int, rest: list[int], maybe: int | None = None) -> None: ...

    @command
    def severed(self, pair: tuple[int, str]) -> dict[str, int]:
        return {}


def test_signatures_are_what_people_wrote() -> None:
    shown = describe(Shown)
    assert shown.name == "Shown"
    words = "several(first: int, rest: list[int], maybe: int | None = None) -> None"
    assert shown.command("several").signature() == words
    assert shown.command("severed").signature() == "severed(pair: tuple[int, str]) -> dict[str, int]"
    assert [_type_name(kind) for kind in (type(None), int, list[int], int | None, Pair)] == [
        "None", "int", "list[int]", "int | None", "Pair",
    ]
    with pytest.raises(Mistake, match="did you mean 'several'"):
        shown.command("severa")
