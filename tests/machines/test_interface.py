"""What callers see: calls are checked before they leave, answers come back as objects."""

from __future__ import annotations

import enum
from typing import Any

import msgspec
import pytest

from outvote.configuration.machine_class import load_machine
from outvote.errors import Mistake, Refused
from outvote.machines.contract import Context
from outvote.machines.interface import describe, parse_value
from outvote.machines.key_value import Entry, KeyValueStore
from outvote.machines.ledger import Ledger
from outvote.machines.operations import encode_done, encode_operation, encode_rejected


class Colour(enum.Enum):
    RED = "red"


class Point(msgspec.Struct):
    x: int


def test_a_class_is_described_by_its_commands() -> None:
    store = describe(KeyValueStore)
    assert list(store.commands) == ["put", "delete", "cas", "get", "list"]
    assert [command.query for command in store.commands.values()] == [False, False, False, True, True]
    assert store.command("list").signature() == "list(prefix: str = '', limit: int = 100, after: str = '') -> list[str]"
    assert store.command("put").doc == "Write a value. Returns its version."
    assert [one.name for one in describe(Ledger).command("transfer").parameters] == ["source", "target", "amount"]


def test_a_call_is_written_as_the_machine_reads_it() -> None:
    store = describe(KeyValueStore)
    assert store.encode("put", ["a", "b"]) == encode_operation("put", ["a", "b"])
    assert store.encode("put", ["a"], {"value": "b"}) == encode_operation("put", ["a", "b"])
    assert store.encode("list", [], {"limit": 3}) == encode_operation("list", ["", 3, ""])
    assert store.parse("list", ["a", "5"]) == encode_operation("list", ["a", 5, ""])
    machine = KeyValueStore()
    context = Context(1, 1, 70000, b"")
    assert store.decode("put", machine.apply(store.encode("put", ["a", "b"]), context)) == 1
    assert store.decode("get", machine.apply(store.parse("get", ["a"]), context)) == Entry("b", 1)
    assert store.decode("get", machine.apply(store.parse("get", ["z"]), context)) is None


def test_a_wrong_call_is_a_mistake_that_says_what_is_right() -> None:
    store = describe(KeyValueStore)
    for sentence, name, arguments in (
        ("did you mean 'put'", "putt", ["a", "b"]),
        ("it has put, delete", "xyzzy", []),
        ("Missing required argument 'value'", "put", ["a"]),
        ("Expected `str`, got `int`", "put", ["a", 3]),
        ("Extra positional", "get", ["a", "b"]),
        ("surrogates", "get", ["\ud800"]),
        ("Expected `int`, got `float`", "list", ["a", 1.5]),
    ):
        with pytest.raises(Mistake, match=sentence):
            store.encode(name, arguments)
    with pytest.raises(Mistake, match="takes 1 arguments"):
        store.parse("get", ["a", "b"])
    with pytest.raises(Mistake, match="'x' is no limit of list"):
        store.parse("list", ["a", "x"])


def test_a_refusal_and_a_wrong_answer_are_told_apart() -> None:
    store = describe(KeyValueStore)
    with pytest.raises(Refused, match="no room"):
        store.decode("put", encode_rejected("no room"))
    for outcome in (encode_done("text"), b"", b"\x92\x09\x00"):
        with pytest.raises(Mistake, match="something else than it declares"):
            store.decode("put", outcome)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("12", str, "12"),
        ("null", str, "null"),
        ("null", str | None, None),
        ("ü", bytes, "ü".encode()),
        ("12", int, 12),
        ("true", bool, True),
        ("[1, 2]", list[int], [1, 2]),
        ("red", Colour, Colour.RED),
        ('{"x": 3}', Point, Point(3)),
        ("null", int | None, None),
    ],
)
def test_words_of_a_command_line_become_values(text: str, kind: Any, value: object) -> None:
    assert parse_value(text, kind) == value


def test_words_that_fit_no_type_are_refused() -> None:
    for text, kind in (("1.5", int), ("blue", Colour), ("{}", Point), ("yes", bool)):
        with pytest.raises(msgspec.MsgspecError):
            parse_value(text, kind)


def test_a_class_is_found_by_its_name(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_machine("outvote.machines.key_value:KeyValueStore") is KeyValueStore
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["/nowhere"])
    (tmp_path / "garden_machine.py").write_text(
        "from outvote.machines.machine import StateMachine, command\n"
        "class Garden(StateMachine):\n    @command\n    def grow(self) -> None: ...\n"
    )
    (tmp_path / "broken_machine.py").write_text("1 / 0\n")
    (tmp_path / "needy_machine.py").write_text("import missing_thing\n")
    assert load_machine("garden_machine:Garden").__name__ == "Garden"
    for reference, sentence in (
        ("garden_machine", "module:Class"),
        ("nowhere_machine:Garden", "no module 'nowhere_machine'"),
        ("garden_machine.sub:Garden", "no module"),
        ("needy_machine:X", "imports 'missing_thing', which is not installed"),
        ("broken_machine:X", "ZeroDivisionError"),
        ("garden_machine:Gardan", "did you mean Garden"),
        ("outvote.errors:Mistake", "no subclass of outvote.StateMachine"),
    ):
        with pytest.raises(Mistake, match=sentence):
            load_machine(reference)
