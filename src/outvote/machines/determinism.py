"""Finds out whether a user's class is deterministic: makes operations for it, compares what several processes made of
them, and says where and why two of them part. Pure: cli/check.py runs the processes.

Every value comes from a small domain, so that keys collide and sets and dicts grow.
"""

from __future__ import annotations

import dis
import types
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from msgspec import inspect as shapes

from outvote.machines.blueprint import Blueprint, Command
from outvote.machines.operations import DONE, encode_operation, outcome_kind, outcome_reason
from outvote.machines.value_types import facts_of, ordered

_TRIES_MAX: Final = 50  # values made for one call until they fit constraints such as a pattern
_DEPTH_MAX: Final = 4  # of made values; below it, recursive types end
_SHOWN_CHARACTERS: Final = 80  # of a value in a report
_WORDS: Final = ("a", "b", "c", "d", "e", "f", "g", "h", "", "Zürich", "long " * 20)
_MASK: Final = (1 << 64) - 1


class Entropy:
    """A small seeded generator (splitmix64): same seed, same numbers, on every machine."""

    __slots__ = ("_state",)

    def __init__(self, seed: int) -> None:
        self._state = seed & _MASK

    def below(self, limit: int) -> int:
        """0 .. limit-1."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        mixed = self._state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return (mixed ^ (mixed >> 31)) % limit

    def choose(self, options: Sequence[Any]) -> Any:
        return options[self.below(len(options))]


class OperationMaker:
    """Makes valid operations of a class, commands and queries in turn by chance."""

    __slots__ = ("_blueprint", "_entropy", "_names", "impossible")

    def __init__(self, blueprint: Blueprint, seed: int) -> None:
        self._blueprint = blueprint
        self._entropy = Entropy(seed)
        self._names = list(blueprint.commands)
        self.impossible: list[str] = []  # commands for which no fitting arguments were found

    def make(self) -> tuple[str, bytes] | None:
        """A command's name and an operation; None if no command can be called."""
        while self._names:
            name = self._entropy.choose(self._names)
            operation = self._call(self._blueprint.commands[name])
            if operation is not None:
                return name, operation
            self._names.remove(name)
            self.impossible.append(name)
        return None

    def _call(self, command: Command) -> bytes | None:
        for _ in range(_TRIES_MAX):
            values: list[Any] = []
            for parameter in command.parameters:
                if not parameter.required and self._entropy.below(3) == 0:
                    break
                values.append(make_value(shapes.type_info(parameter.type), self._entropy, 0))
            try:
                command.decode(msgspec.msgpack.encode(values))
            except (ValueError, TypeError, OverflowError):
                continue
            return encode_operation(command.name, values)
        return None


def make_value(shape: shapes.Type, entropy: Entropy, depth: int) -> Any:
    """A value of the type, as msgpack carries it: a struct is a dict or a list, a date its text.

    Constraints that are not bounds on numbers or lengths may be missed: the caller tries again."""
    if isinstance(shape, shapes.Metadata):
        return make_value(shape.type, entropy, depth)
    if isinstance(shape, shapes.UnionType):
        options: Sequence[shapes.Type] = shape.types
        if depth >= _DEPTH_MAX:
            options = [one for one in options if isinstance(one, shapes.NoneType)] or options
        return make_value(entropy.choose(options), entropy, depth)
    scalar = _SCALARS.get(type(shape))
    if scalar is not None:
        return scalar(shape, entropy)
    return _make_composite(shape, entropy, depth)


def _make_composite(shape: shapes.Type, entropy: Entropy, depth: int) -> Any:
    if isinstance(shape, shapes.TupleType):
        return tuple(make_value(one, entropy, depth + 1) for one in shape.item_types)
    if isinstance(shape, (shapes.ListType, shapes.VarTupleType, shapes.SetType, shapes.FrozenSetType)):
        count = _length(shape.min_length, shape.max_length, entropy, depth)
        return tuple(make_value(shape.item_type, entropy, depth + 1) for _ in range(count))
    if isinstance(shape, shapes.DictType):
        count = _length(shape.min_length, shape.max_length, entropy, depth)
        return {
            make_value(shape.key_type, entropy, depth + 1): make_value(shape.value_type, entropy, depth + 1)
            for _ in range(count)
        }
    if isinstance(shape, (shapes.StructType, shapes.DataclassType, shapes.TypedDictType, shapes.NamedTupleType)):
        made = {field.encode_name: make_value(field.type, entropy, depth + 1) for field in shape.fields}
        if isinstance(shape, shapes.NamedTupleType):
            return list(made.values())
        if isinstance(shape, shapes.StructType) and shape.array_like:
            return ([] if shape.tag is None else [shape.tag]) + list(made.values())
        if isinstance(shape, shapes.StructType) and shape.tag_field is not None:
            made = {shape.tag_field: shape.tag, **made}
        return made
    return None


def _length(lowest: int | None, highest: int | None, entropy: Entropy, depth: int) -> int:
    least = lowest or 0
    return least if depth >= _DEPTH_MAX else min(least + entropy.below(5), 1 << 20 if highest is None else highest)


def _make_int(shape: Any, entropy: Entropy) -> int:
    lowest = shape.ge if shape.ge is not None else None if shape.gt is None else shape.gt + 1
    highest = shape.le if shape.le is not None else None if shape.lt is None else shape.lt - 1
    value = int(entropy.choose((0, 1, 2, 3, 4, 5, 7, 10, 100, -1, -3, 1 << 40)))
    if shape.multiple_of:
        value *= int(shape.multiple_of)
    if lowest is not None and value < lowest:
        value = int(lowest) + abs(value) % 8
    if highest is not None and value > highest:
        value = int(highest) - abs(value) % 8
    return value


def _make_text(shape: Any, entropy: Entropy) -> str:
    text = str(entropy.choose(_WORDS if entropy.below(4) == 0 else _WORDS[:8]))
    if shape.min_length is not None and len(text) < shape.min_length:
        text += "a" * (shape.min_length - len(text))
    return text if shape.max_length is None else text[: shape.max_length]


def _make_bytes(shape: Any, entropy: Entropy) -> bytes:
    return _make_text(shape, entropy).encode()[: shape.max_length]


def _make_float(shape: Any, entropy: Entropy) -> float:
    value = float(entropy.choose((0.0, 0.1, 0.5, 1.0, 3.25, -2.5, 1e9)))
    lowest = shape.ge if shape.ge is not None else shape.gt
    highest = shape.le if shape.le is not None else shape.lt
    if lowest is not None and value <= lowest:
        value = lowest + 0.5
    return highest - 0.5 if highest is not None and value >= highest else value


def _make_day(_: Any, entropy: Entropy) -> str:
    return f"2024-{1 + entropy.below(12):02}-0{1 + entropy.below(3)}"


def _make_moment(shape: Any, entropy: Entropy) -> str:
    return f"{_make_day(shape, entropy)}T{_make_hour(shape, entropy)}"


def _make_hour(shape: Any, entropy: Entropy) -> str:
    return f"0{entropy.below(5)}:00:00{'Z' if shape.tz else ''}"


_SCALARS: Final[dict[Any, Callable[[Any, Entropy], Any]]] = {
    shapes.NoneType: lambda _, __: None,
    shapes.BoolType: lambda _, entropy: bool(entropy.below(2)),
    shapes.IntType: _make_int,
    shapes.FloatType: _make_float,
    shapes.StrType: _make_text,
    shapes.BytesType: _make_bytes,
    shapes.ByteArrayType: _make_bytes,
    shapes.MemoryViewType: _make_bytes,
    shapes.DecimalType: lambda _, entropy: f"{entropy.below(7)}.25",
    shapes.UUIDType: lambda _, entropy: f"00000000-0000-4000-8000-00000000000{entropy.below(8)}",
    shapes.DateType: _make_day,
    shapes.DateTimeType: _make_moment,
    shapes.TimeType: _make_hour,
    shapes.TimeDeltaType: lambda _, entropy: f"PT{entropy.below(5)}S",
    shapes.EnumType: lambda shape, entropy: entropy.choose(list(shape.cls)).value,
    shapes.LiteralType: lambda shape, entropy: entropy.choose(shape.values),
}


class Shown(msgspec.Struct, array_like=True):
    """An attribute as one process has it: something to compare, and something to show."""

    name: str
    written: bytes
    text: str


def show(attributes: dict[str, Any]) -> list[Shown]:
    """Every attribute, for a comparison between processes."""
    rows = []
    for name, value in attributes.items():
        text = _spelled(value)
        try:
            written = msgspec.json.encode(ordered(value))
        except (TypeError, ValueError, RecursionError):
            written = text.encode("utf-8", "backslashreplace")
        rows.append(Shown(name, written, text[:100_000]))
    return rows


def _spelled(value: Any) -> str:
    """repr, with sets in one order: they are equal however they iterate."""
    return "{" + ", ".join(sorted(map(repr, value))) + "}" if isinstance(value, (set, frozenset)) else repr(value)


def spelled_outcome(outcome: bytes) -> str:
    """An outcome for people."""
    if outcome_kind(outcome) == DONE:
        return repr(msgspec.msgpack.decode(outcome)[1])
    return f"refused: {outcome_reason(outcome)}"


def parting(left: Sequence[Shown], right: Sequence[Shown]) -> tuple[str, str, str] | None:
    """The first attribute that two processes have differently, and both values shortened around the difference."""
    others = {row.name: row for row in right}
    for row in left:
        other = others.pop(row.name, None)
        if other is None:
            return row.name, shortened(row.text, 0), "(no such attribute)"
        if row.written != other.written:
            place = _first_difference(row.text, other.text)
            return row.name, shortened(row.text, place), shortened(other.text, place)
    for row in others.values():
        return row.name, "(no such attribute)", shortened(row.text, 0)
    return None


def shortened(text: str, place: int) -> str:
    """The neighbourhood of a place in a text."""
    start = max(0, place - _SHOWN_CHARACTERS // 4) if len(text) > _SHOWN_CHARACTERS else 0
    cut = text[start : start + _SHOWN_CHARACTERS]
    return ("…" if start else "") + cut + ("…" if start + _SHOWN_CHARACTERS < len(text) else "")


def both_shortened(left: str, right: str) -> tuple[str, str]:
    """Two texts, shortened around the place where they part."""
    place = _first_difference(left, right)
    return shortened(left, place), shortened(right, place)


def _first_difference(left: str, right: str) -> int:
    for place, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return place
    return min(len(left), len(right))


_CAUSES: Final[tuple[tuple[tuple[str, ...], str], ...]] = (
    (
        ("time", "time_ns", "now", "today", "utcnow", "monotonic", "perf_counter", "localtime", "gmtime", "strftime"),
        "it reads the clock, and each replica has its own: take a parameter `context: Context` and use context.time_ns",
    ),
    (
        ("random", "randint", "randrange", "choice", "shuffle", "sample", "uuid1", "uuid4", "urandom", "secrets",
         "token_bytes", "token_hex", "getrandbits"),
        "it draws random numbers of its own: take a parameter `context: Context` and use context.random_bytes or "
        "context.random_below",
    ),
    (("hash",), "hash() of text differs in every process: use hashlib"),
    (("id",), "id() is an address in memory and differs in every process: count, or use a key"),
    (
        ("environ", "getenv", "getpid", "gethostname", "getcwd", "open", "read_text", "read_bytes", "urlopen"),
        "it looks at its surroundings (files, environment, network), which replicas do not share: pass what it needs "
        "as an argument",
    ),
)  # fmt: skip
_SET_ORDER: Final = (
    "it depends on the order of a set, which differs in every process: iterate over sorted(...), or keep a dict"
)
_ASSERT: Final = "an assert decides, and python -O leaves asserts out: raise Rejected instead"
_ADDRESS: Final = "the text of an object holds its address in memory: write the object's fields instead"
_ESCAPED: Final = (
    "it happens only after a restore: something lives outside the declared attributes (a class variable, a module's "
    "variable), or snapshot and restore lose something, such as the order of a dict"
)
_UNKNOWN: Final = "look for the clock, randomness, the order of a set, hash(), id(), and variables outside the instance"


def likely_cause(blueprint: Blueprint, command: Command, texts: tuple[str, str], restored: bool, bare: bool) -> str:
    """A hint. `restored`: only the process that restored differs; `bare`: only the one without asserts does."""
    names, makes_sets, asserts = _names_in(command)
    if any(" at 0x" in text for text in texts):
        return _ADDRESS
    if bare and asserts:
        return _ASSERT
    hints = [hint for words, hint in _CAUSES if any(word in names for word in words)]
    holds_sets = makes_sets or blueprint.has_sets or _takes_sets(command) or "set" in names or "frozenset" in names
    if holds_sets and (not hints or sorted(texts[0]) == sorted(texts[1])):
        hints.insert(0, _SET_ORDER)
    if restored and not (holds_sets and sorted(texts[0]) == sorted(texts[1])):
        hints.insert(0, _ESCAPED)
    return hints[0] if hints else _UNKNOWN


def _takes_sets(command: Command) -> bool:
    return any(facts_of(parameter.type, True, parameter.name).has_sets for parameter in command.parameters)


def _names_in(command: Command) -> tuple[dict[str, None], bool, bool]:
    """Names that a command and the functions it calls use; whether they build sets; whether they assert."""
    names: dict[str, None] = {}
    makes_sets = asserts = False
    pending: list[types.CodeType] = [command.function.__code__]
    surroundings: dict[str, Any] = {**command.function.__globals__, **command.siblings}
    seen: list[types.CodeType] = []
    while pending and len(seen) < 50:
        code = pending.pop()
        seen.append(code)
        pending.extend(const for const in code.co_consts if isinstance(const, types.CodeType))
        for instruction in dis.get_instructions(code):
            makes_sets = makes_sets or instruction.opname in ("BUILD_SET", "SET_ADD", "SET_UPDATE")
            asserts = asserts or instruction.opname == "LOAD_ASSERTION_ERROR" or instruction.argval is AssertionError
        for name in code.co_names:
            names[name] = None
            called = surroundings.get(name)
            if isinstance(called, types.FunctionType) and called.__code__ not in seen:
                pending.append(called.__code__)
    return names, makes_sets, asserts


class CheckReport(msgspec.Struct):
    """What `outvote check` found."""

    reference: str
    seed: int
    operations: int = 0  # executed before the check ended
    done: dict[str, int] = msgspec.field(default_factory=dict)  # command -> times it was done, not refused
    problems: list[str] = msgspec.field(default_factory=list)
    warnings: list[str] = msgspec.field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.problems

    def text(self) -> str:
        """The report for people, one finding a paragraph."""
        verdict = "no difference found" if self.passed else "not fit to be replicated"
        lines = [f"{self.reference}: {verdict} in {self.operations} operations (seed {self.seed})"]
        lines += [f"problem: {problem}" for problem in self.problems]
        lines += [f"warning: {warning}" for warning in self.warnings]
        return "\n".join(lines)


def warnings_about(blueprint: Blueprint) -> list[str]:
    """What can be seen without running anything."""
    if blueprint.own_snapshot:
        return []
    return [
        f"{blueprint.name}.{name} holds a set: its order differs between replicas and after a restore, so iterate over "
        f"sorted(self.{name}) or use a dict"
        for name, kind in blueprint.types.items()
        if facts_of(kind, True, name).has_sets
    ]
