"""Hypothesis strategies for the calls of a class, by its typed interface, and for faults in between.

Hypothesis is imported when a strategy is asked for: it is no dependency of outvote. Values come from small domains more
often than not, so that keys meet, and every strategy shrinks towards short sequences of simple calls without faults.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import UTC
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import inspect as shapes

from outvote.errors import Mistake
from outvote.machines.interface import CommandInterface, describe
from outvote.machines.machine import StateMachine
from outvote.testing.case import behaviours_against
from outvote.testing.sequences import Call, Corrupt, Crash, Heal, Partition, Restart, Step

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

CLIENTS: Final = 3
ITEMS_MAX: Final = 4  # of a made list, set or dict
DEPTH_MAX: Final = 4  # of made values; below it, recursive types end
FAULT_STEPS: Final = ("crash", "restart", "partition", "heal", "corrupt")


def operations(
    machine: type[StateMachine],
    *,
    only: Collection[str] | None = None,
    values: Mapping[str, SearchStrategy[Any]] | None = None,
    faults: Collection[str] = (),
    replicas: int = 4,
    protocol: str = "pbft",
    max_size: int = 30,
) -> SearchStrategy[list[Step]]:
    """Lists of steps for `run_sequence`.

    `only` names the commands that are called, `values` gives a strategy for a parameter by name ("account") or by
    command and name ("transfer.amount"). `faults` is a choice from FAULT_STEPS, mixed in between the calls.

    Raises Mistake if Hypothesis is not installed, or if a name does not exist."""
    st = _hypothesis()
    interface = describe(machine)
    names = list(interface.commands) if only is None else [interface.command(name).name for name in only]
    known = [f"{name}.{one.name}" for name in interface.commands for one in interface.command(name).parameters]
    for name in values or {}:
        if not any(name in (full, full.partition(".")[2]) for full in known):
            raise Mistake(f"{interface.name} has no parameter {name!r}: it has {', '.join(known)}")
    kinds: list[Any] = []
    for name in names:
        kinds += _ways_to_call(st, interface.command(name), values or {})
    disturbances = [_fault(st, name, replicas, protocol) for name in faults]
    if disturbances:
        kinds += disturbances * -(-len(kinds) // (3 * len(disturbances)))  # about three of four steps stay calls
    # One choice for everything but the arguments: Hypothesis deletes a step at once only if it made few choices for it.
    step = st.sampled_from(kinds).flatmap(_unchanged)
    # A list is five long on average, whatever its limit; a list of lists is fifteen.
    stretches = st.lists(st.lists(step, max_size=max(1, max_size // 5)), max_size=10)
    sequences: SearchStrategy[list[Step]] = stretches.map(
        lambda drawn: [one for stretch in drawn for one in stretch][:max_size]
    )
    return sequences


def _unchanged(value: Any) -> Any:
    return value


def _hypothesis() -> Any:
    try:
        from hypothesis import strategies  # noqa: PLC0415 - only who makes strategies needs it
    except ModuleNotFoundError:
        raise Mistake(
            "operations() makes Hypothesis strategies, and Hypothesis is not installed: pip install hypothesis"
        ) from None
    return strategies


def _ways_to_call(st: Any, command: CommandInterface, values: Mapping[str, Any]) -> list[Any]:
    """A strategy for each number of arguments, each client, and both ways to go on; the simplest comes first."""
    arguments = []
    required = 0
    for parameter in command.parameters:
        given = values.get(f"{command.name}.{parameter.name}", values.get(parameter.name))
        arguments.append(given if given is not None else _values_of(st, parameter.type))
        required += parameter.required
    return [
        st.tuples(*arguments[:count]).map(partial(_called, command.name, client, wait))
        for wait in (True, True, False)
        for client in range(CLIENTS)
        for count in range(required, len(arguments) + 1)
    ]


def _called(name: str, client: int, wait: bool, arguments: tuple[Any, ...]) -> Call:
    return Call(name, arguments, client, wait)


def _fault(st: Any, name: str, replicas: int, protocol: str) -> Any:
    one = st.integers(0, replicas - 1)
    if name == "crash":
        return st.builds(Crash, one)
    if name == "restart":
        return st.builds(Restart, one)
    if name == "partition":
        sides = st.lists(one, unique=True, min_size=1, max_size=max(1, replicas - 1))
        return st.builds(Partition, sides.map(lambda side: tuple(sorted(side))))
    if name == "heal":
        return st.builds(Heal)
    if name == "corrupt":
        return st.builds(Corrupt, one, st.sampled_from(behaviours_against(protocol)))
    raise Mistake(f"there is no fault step {name!r}: choose from {', '.join(FAULT_STEPS)}")


def _values_of(st: Any, kind: Any) -> Any:
    """Values of a type, as a caller would write them: structs as structs, dates as dates."""
    shape = shapes.type_info(kind)
    plain = _values(st, shape, 0)
    if isinstance(shape, (shapes.IntType, shapes.BoolType, shapes.NoneType)):
        return plain
    decoder = msgspec.msgpack.Decoder(kind)

    def fits(value: Any) -> bool:
        try:
            decoder.decode(msgspec.msgpack.encode(value))
        except (ValueError, TypeError, OverflowError):
            return False
        return True

    return plain.filter(fits).map(lambda value: decoder.decode(msgspec.msgpack.encode(value)))


def _values(st: Any, shape: shapes.Type, depth: int) -> Any:
    """The same as msgpack carries them."""
    if isinstance(shape, shapes.Metadata):
        return _values(st, shape.type, depth)
    if isinstance(shape, shapes.UnionType):
        ending = [one for one in shape.types if isinstance(one, shapes.NoneType)]
        options = ending if depth >= DEPTH_MAX and ending else shape.types
        return st.one_of([_values(st, one, depth) for one in options])
    scalar = _SCALARS.get(type(shape))
    return _composite(st, shape, depth) if scalar is None else scalar(st, shape)


def _composite(st: Any, shape: shapes.Type, depth: int) -> Any:
    if isinstance(shape, shapes.TupleType):
        return st.tuples(*(_values(st, one, depth + 1) for one in shape.item_types))
    if isinstance(shape, (shapes.ListType, shapes.VarTupleType, shapes.SetType, shapes.FrozenSetType)):
        least, most = _lengths(shape.min_length, shape.max_length, depth)
        unique = isinstance(shape, (shapes.SetType, shapes.FrozenSetType))
        if not most:
            return st.just([])
        items = _values(st, shape.item_type, depth + 1)
        return st.lists(items, min_size=least, max_size=most, unique_by=repr if unique else None)
    if isinstance(shape, shapes.DictType):
        least, most = _lengths(shape.min_length, shape.max_length, depth)
        if not most:
            return st.just({})
        keys, values = _values(st, shape.key_type, depth + 1), _values(st, shape.value_type, depth + 1)
        return st.dictionaries(keys, values, min_size=least, max_size=most)
    if isinstance(shape, (shapes.StructType, shapes.DataclassType, shapes.TypedDictType, shapes.NamedTupleType)):
        return _fields(st, shape, depth)
    raise Mistake(f"no values can be made of the type {shape}: give a strategy for this parameter in values=")


def _fields(
    st: Any, shape: shapes.StructType | shapes.DataclassType | shapes.TypedDictType | shapes.NamedTupleType, depth: int
) -> Any:
    def made() -> Any:
        # Deferred, so that a type that holds itself is walked only as deep as values are drawn.
        names = [field.encode_name for field in shape.fields]
        values = st.tuples(*(_values(st, field.type, depth + 1) for field in shape.fields))
        if isinstance(shape, shapes.NamedTupleType):
            return values.map(list)
        if isinstance(shape, shapes.StructType) and shape.array_like:
            tag = [] if shape.tag is None else [shape.tag]
            return values.map(lambda drawn: [*tag, *drawn])
        head = {}
        if isinstance(shape, shapes.StructType) and shape.tag_field is not None:
            head = {shape.tag_field: shape.tag}
        return values.map(lambda drawn: {**head, **dict(zip(names, drawn, strict=True))})

    return st.deferred(made)


def _lengths(lowest: int | None, highest: int | None, depth: int) -> tuple[int, int]:
    least = lowest or 0
    most = least if depth >= DEPTH_MAX else max(least, ITEMS_MAX)
    return least, most if highest is None else min(most, highest)


def _integers(st: Any, shape: Any) -> Any:
    lowest = shape.ge if shape.ge is not None else None if shape.gt is None else shape.gt + 1
    highest = shape.le if shape.le is not None else None if shape.lt is None else shape.lt - 1
    low = -(1 << 63) if lowest is None else int(lowest)
    high = (1 << 63) - 1 if highest is None else int(highest)
    factor = int(shape.multiple_of or 1)
    low, high = -(-low // factor), high // factor
    wide = st.integers(low, high)
    near_low, near_high = max(low, -10), min(high, 100)
    drawn = st.one_of(st.integers(near_low, near_high), wide) if near_low <= near_high else wide
    return drawn if factor == 1 else drawn.map(lambda value: value * factor)


def _texts(st: Any, shape: Any) -> Any:
    if shape.pattern is not None:
        return st.from_regex(shape.pattern)
    least, most = shape.min_length or 0, shape.max_length
    anything = st.text(min_size=least, max_size=max(least, 8) if most is None else min(max(least, 8), most))
    words = [word for word in ("a", "b", "c") if least <= 1 and (most is None or most >= 1)]
    return st.one_of(st.sampled_from(words), anything) if words else anything


def _bytes(st: Any, shape: Any) -> Any:
    least, most = shape.min_length or 0, shape.max_length
    return st.binary(min_size=least, max_size=max(least, 8) if most is None else min(max(least, 8), most))


def _floats(st: Any, shape: Any) -> Any:
    return st.floats(
        min_value=shape.ge if shape.ge is not None else shape.gt,
        max_value=shape.le if shape.le is not None else shape.lt,
        exclude_min=shape.gt is not None, exclude_max=shape.lt is not None, allow_nan=False, allow_infinity=False,
    )


_SCALARS: Final[dict[Any, Callable[[Any, Any], Any]]] = {
    shapes.NoneType: lambda st, _: st.none(),
    shapes.BoolType: lambda st, _: st.booleans(),
    shapes.IntType: _integers,
    shapes.FloatType: _floats,
    shapes.StrType: _texts,
    shapes.BytesType: _bytes,
    shapes.ByteArrayType: _bytes,
    shapes.MemoryViewType: _bytes,
    shapes.DecimalType: lambda st, _: st.decimals(-1000, 1000, places=2).map(str),
    shapes.UUIDType: lambda st, _: st.uuids().map(str),
    shapes.DateType: lambda st, _: st.dates().map(lambda day: day.isoformat()),
    shapes.DateTimeType: lambda st, shape: st.datetimes(
        timezones=st.just(UTC) if shape.tz else st.none()
    ),
    shapes.TimeType: lambda st, _: st.times(),
    shapes.TimeDeltaType: lambda st, _: st.timedeltas(),
    shapes.EnumType: lambda st, shape: st.sampled_from([one.value for one in shape.cls]),
    shapes.LiteralType: lambda st, shape: st.sampled_from(shape.values),
}
