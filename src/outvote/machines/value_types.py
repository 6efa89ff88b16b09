"""Which types may stand in declared state, arguments and results, and the one way their values are written.

What is refused: types whose values could differ between replicas or cannot be written and read back exactly.
"""

from __future__ import annotations

import copy
import dataclasses
import typing
from collections.abc import Callable, Mapping, MutableMapping
from functools import lru_cache, wraps
from typing import Annotated, Any, Final, TypeVar, cast

import msgspec
from msgspec import inspect as shapes

from outvote.errors import Mistake
from outvote.machines.operations import NESTING_MAX

_encode = msgspec.msgpack.Encoder().encode

T = TypeVar("T")

KINDS_MAX: Final = 256  # types that are remembered: those of some dozen classes

_FLOATS: Final = (
    "floats are refused because replicas on different machines may round differently and then disagree: "
    "use int (for example cents) or decimal.Decimal, or declare the class with floats=True if every replica "
    "runs the same processor and interpreter"
)


class Facts:
    """What was learnt about a type."""

    __slots__ = ("depth", "has_sets", "skips_unknown")

    def __init__(self) -> None:
        self.depth = 0  # arrays and maps inside each other; beyond NESTING_MAX for a recursive type
        self.has_sets = False
        self.skips_unknown = False  # the decoder may skip values of which the type says nothing

    @property
    def bounded(self) -> bool:
        """Whether a value of this type cannot be nested too deep, so that nobody needs to look."""
        return self.depth <= NESTING_MAX - 2 and not self.skips_unknown


def facts_of(kind: Any, floats: bool, where: str) -> Facts:
    """Examine a type. Raises Mistake, beginning with `where`, if it may not be used."""
    try:
        shape = shapes.type_info(kind)
        msgspec.msgpack.Decoder(kind)
    except (TypeError, NameError, ValueError) as error:
        raise Mistake(f"{where} has a type that cannot be sent or stored: {error}; use plain types or "
                      "msgspec structs") from error  # fmt: skip
    facts = Facts()
    _walk(shape, facts, floats, where, ())
    return facts


def _walk(shape: shapes.Type, facts: Facts, floats: bool, where: str, path: tuple[Any, ...]) -> None:
    facts.depth = max(facts.depth, len(path))
    if isinstance(shape, shapes.Metadata):
        _walk(shape.type, facts, floats, where, path)
    elif isinstance(shape, shapes.FloatType):
        if not floats:
            raise Mistake(f"{where} holds a float: {_FLOATS}")
    elif isinstance(shape, (shapes.AnyType, shapes.RawType, shapes.ExtType, shapes.CustomType)):
        raise Mistake(
            f"{where} has a type that does not say what it holds: use plain types such as int, str, bytes, "
            "list[int] or dict[str, int], or msgspec structs"
        )
    elif isinstance(shape, shapes.UnionType):
        for one in shape.types:
            _walk(one, facts, floats, where, path)
    elif isinstance(shape, shapes.DictType):
        keys = Facts()
        _walk(shape.key_type, keys, floats, where, (*path, None))
        if keys.has_sets:
            raise Mistake(f"{where} has sets as keys of a dict: use a sorted tuple")
        _walk(shape.value_type, facts, floats, where, (*path, None))
    elif isinstance(shape, shapes.TupleType):
        for one in shape.item_types:
            _walk(one, facts, floats, where, (*path, None))
    elif isinstance(shape, (shapes.ListType, shapes.VarTupleType, shapes.SetType, shapes.FrozenSetType)):
        facts.has_sets |= isinstance(shape, (shapes.SetType, shapes.FrozenSetType))
        _walk(shape.item_type, facts, floats, where, (*path, None))
    elif isinstance(shape, (shapes.StructType, shapes.DataclassType, shapes.TypedDictType, shapes.NamedTupleType)):
        _walk_fields(shape, facts, floats, where, path)


def _walk_fields(
    shape: shapes.StructType | shapes.DataclassType | shapes.TypedDictType | shapes.NamedTupleType,
    facts: Facts, floats: bool, where: str, path: tuple[Any, ...],
) -> None:  # fmt: skip
    if shape.cls in path:
        facts.depth = NESTING_MAX + 1
        return
    strict = isinstance(shape, shapes.NamedTupleType) or (
        isinstance(shape, shapes.StructType) and shape.forbid_unknown_fields
    )
    facts.skips_unknown |= not strict
    for field in shape.fields:
        _walk(field.type, facts, floats, f"{where} ({shape.cls.__name__}.{field.name})", (*path, shape.cls))


def _remembered(asked: Callable[[Any], T]) -> Callable[[Any], T]:
    """Whoever makes a machine asks again what its class's types are. One without a hash is looked at anew."""
    kept = lru_cache(maxsize=KINDS_MAX)(asked)

    @wraps(asked)
    def ask(kind: Any) -> T:
        try:
            return kept(kind)
        except TypeError:
            return asked(kind)

    return ask


@_remembered
def dict_types(kind: Any) -> tuple[Any, Any] | None:
    """The types of keys and values, if this is the type of a dict whose keys are equal only where their encodings are;
    a bool in the place of an int apart."""
    while typing.get_origin(kind) is Annotated:
        kind = typing.get_args(kind)[0]
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) not in (dict, Mapping, MutableMapping) or len(arguments) != 2:
        return None
    return (arguments[0], arguments[1]) if _plain(shapes.type_info(arguments[0])) else None


def _plain(shape: shapes.Type) -> bool:
    if isinstance(shape, shapes.Metadata):
        return _plain(shape.type)
    if isinstance(shape, shapes.TupleType):
        return all(_plain(one) for one in shape.item_types)
    if isinstance(shape, shapes.VarTupleType):
        return _plain(shape.item_type)
    return isinstance(shape, (shapes.IntType, shapes.StrType, shapes.BytesType, shapes.EnumType, shapes.LiteralType))


@_remembered
def mutable_kinds(kind: Any) -> tuple[type, ...]:
    """The classes of everything in a value of this type that can be changed in place; `object` if nobody can tell."""
    try:
        shape = shapes.type_info(kind)
    except (TypeError, NameError, ValueError):
        return (object,)
    found: dict[type, None] = {}
    _walk_mutable(shape, found, ())
    return tuple(found)


_MUTABLE_SHAPES: Final[tuple[tuple[type[shapes.Type], type], ...]] = (
    (shapes.ListType, list), (shapes.SetType, set), (shapes.DictType, dict), (shapes.TypedDictType, dict),
    (shapes.ByteArrayType, bytearray), (shapes.MemoryViewType, memoryview), (shapes.AnyType, object),
    (shapes.RawType, object), (shapes.ExtType, object), (shapes.CustomType, object),
)  # fmt: skip


def _walk_mutable(shape: shapes.Type, found: dict[type, None], path: tuple[Any, ...]) -> None:
    for kind, builtin in _MUTABLE_SHAPES:
        if isinstance(shape, kind):
            found[builtin] = None
    if isinstance(shape, (shapes.StructType, shapes.DataclassType, shapes.TypedDictType, shapes.NamedTupleType)):
        if shape.cls in path:
            return
        path = (*path, shape.cls)
        if not _frozen_class(shape):
            found[shape.cls] = None
    for part in _parts(shape):
        _walk_mutable(part, found, path)


def _frozen_class(shape: shapes.Type) -> bool:
    if isinstance(shape, shapes.StructType):
        return bool(shape.cls.__struct_config__.frozen)
    if isinstance(shape, shapes.DataclassType):
        return bool(cast(Any, shape.cls).__dataclass_params__.frozen)
    return isinstance(shape, shapes.NamedTupleType)


def _parts(shape: shapes.Type) -> list[shapes.Type]:
    """The types directly inside a type."""
    if isinstance(shape, shapes.Metadata):
        return [shape.type]
    if isinstance(shape, shapes.UnionType):
        return list(shape.types)
    if isinstance(shape, shapes.DictType):
        return [shape.key_type, shape.value_type]
    if isinstance(shape, shapes.TupleType):
        return list(shape.item_types)
    if isinstance(shape, (shapes.ListType, shapes.VarTupleType, shapes.SetType, shapes.FrozenSetType)):
        return [shape.item_type]
    if isinstance(shape, (shapes.StructType, shapes.DataclassType, shapes.TypedDictType, shapes.NamedTupleType)):
        return [field.type for field in shape.fields]
    return []


def ordered(value: Any) -> Any:
    """The value with every set in it replaced by a list sorted by the elements' encodings.

    Sets iterate in an order of their own in each process, so as they stand they would be written differently."""
    if isinstance(value, (set, frozenset)):
        return sorted((ordered(one) for one in value), key=_sort_key)
    if isinstance(value, (list, tuple)):
        return [ordered(one) for one in value]
    if isinstance(value, dict):
        return {key: ordered(one) for key, one in value.items()}
    if isinstance(value, msgspec.Struct):
        twin = copy.copy(value)
        for name in value.__struct_fields__:
            msgspec.structs.force_setattr(twin, name, ordered(getattr(value, name)))
        return twin
    if dataclasses.is_dataclass(value):
        return {field.name: ordered(getattr(value, field.name)) for field in dataclasses.fields(cast(Any, value))}
    return value


def _sort_key(value: Any) -> bytes:
    try:
        return _encode(value)
    except OverflowError:
        return encode_wide(value)


_WIDE_INT: Final = 1  # extension: a signed big-endian integer
_WIDE_DICT: Final = 2  # extension: msgpack [key, value, key, value, ...], because an extension cannot be a key


def encode_wide(value: Any) -> bytes:
    """Like msgpack, for values in which an int has outgrown 64 bits. Larger and slower, so only then."""
    return _encode(_widened(msgspec.to_builtins(value, builtin_types=(bytes,))))


def decode_wide(data: bytes, kind: Any) -> Any:
    """What `encode_wide` wrote, as a value of the type. Raises msgspec.MsgspecError or ValueError."""
    return msgspec.convert(_decode_widened(data), kind, builtin_types=(bytes,))


def _widened(value: Any) -> Any:
    if type(value) is int and not -(1 << 63) <= value < 1 << 64:
        return msgspec.msgpack.Ext(_WIDE_INT, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))
    if isinstance(value, (list, tuple)):
        return [_widened(one) for one in value]
    if isinstance(value, dict):
        pairs = [_widened(one) for pair in value.items() for one in pair]
        return msgspec.msgpack.Ext(_WIDE_DICT, _encode(pairs))
    return value


def _narrowed(code: int, data: memoryview) -> Any:
    if code == _WIDE_INT:
        return int.from_bytes(data, "big", signed=True)
    if code != _WIDE_DICT:
        raise ValueError("an extension of an unknown kind")
    flat = _decode_widened(data)
    return {_frozen(key): value for key, value in zip(flat[::2], flat[1::2], strict=True)}


def _frozen(key: Any) -> Any:
    return tuple(_frozen(one) for one in key) if isinstance(key, list) else key


_decode_widened = msgspec.msgpack.Decoder(ext_hook=_narrowed).decode
