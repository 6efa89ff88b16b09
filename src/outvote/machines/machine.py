"""The user's face: subclass StateMachine, declare the state, mark methods with @command and @query.

    class Counter(StateMachine):
        value: int = 0

        @command
        def add(self, amount: int) -> int:
            self.value += amount
            return self.value

        @query
        def read(self) -> int:
            return self.value

Annotations in the class body declare the state; each instance gets its own copy of the defaults. Commands are ordered.
A query must not change the state (`outvote check` tests that); one whose source proves that it does not, see
read_only.py, may be read in one round trip beside the order, all others are ordered like commands. Either way a query
sees every command that was answered before it was called. Invariant: what `apply` returns and what `snapshot` writes
depend on the operations applied and on nothing else, as long as the user's methods do.

What a command changed before it raised stays changed: check first, then change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import msgspec

from outvote.errors import BrokenStorage, Lie, Mistake, OutvoteError
from outvote.machines.blueprint import COMMAND, MARK, NO_DEFAULT, QUERY, Blueprint, check_shape
from outvote.machines.contract import Context, Machine
from outvote.machines.operations import (
    TOO_LARGE,
    encode_done,
    encode_failed,
    encode_invalid,
    encode_rejected,
    nested_too_deep,
    operation_name,
    split_operation,
)
from outvote.machines.stored_dict import StoredDict
from outvote.machines.value_types import decode_wide, encode_wide, ordered
from outvote.wire.client_messages import RESULT_BYTES_MAX

Method = TypeVar("Method", bound=Callable[..., Any])

_PLAIN = 1  # layout of a snapshot: msgpack [1, [names], [values]]
_WIDE = 2  # msgpack [2, [names], values as encode_wide writes them], because an int has outgrown 64 bits
_WIDE_MARK = bytes([_WIDE])  # second byte of that layout
_encode = msgspec.msgpack.Encoder().encode
_decode_wide_layout = msgspec.msgpack.Decoder(tuple[int, tuple[str, ...], bytes]).decode


class Rejected(OutvoteError):
    """Raise it in a command or query to refuse the operation; the client gets the text as errors.Refused."""


def command(method: Method) -> Method:
    """Mark a method that clients may call and that may change the state."""
    setattr(method, MARK, COMMAND)
    return method


def query(method: Method) -> Method:
    """Mark a method that clients may call and that does not change the state."""
    setattr(method, MARK, QUERY)
    return method


class StateMachine(Machine):
    """Base of a replicated class. Class keywords:

    floats=True      allow floats in state, arguments and results (all replicas must then round alike);
    derived=("x",)   attributes that can be rebuilt from the others: left out of snapshots, back at their defaults
                     after a restore. They must not influence any result;
    stored=("x",)    dicts whose items are kept in a store on the disk, not in memory: for states that are larger than
                     that (see docs/how_to/keep_more_than_memory.md). Their values are read as copies, their items come
                     in an order of their own.
    """

    __floats: ClassVar[bool] = False
    __derived: ClassVar[tuple[str, ...]] = ()
    __stored: ClassVar[tuple[str, ...]] = ()
    __blueprint: ClassVar[Blueprint | None] = None

    def __init_subclass__(
        cls, *, floats: bool = False, derived: tuple[str, ...] = (), stored: tuple[str, ...] = (), **keywords: Any
    ) -> None:
        """Raises Mistake for what is wrong with the class; annotations are looked at when it is first used."""
        super().__init_subclass__(**keywords)
        cls.__floats = floats or cls.__floats
        cls.__derived = (*cls.__derived, *derived)
        cls.__stored = (*cls.__stored, *stored)
        cls.__blueprint = None
        check_shape(cls, StateMachine)

    def __new__(cls, *arguments: Any, **keywords: Any) -> StateMachine:
        """Gives the instance its own copy of every default. Raises Mistake if the class cannot be replicated."""
        if cls is StateMachine or arguments or keywords:
            raise Mistake(f"{cls.__name__} is created by every replica alike, so write {cls.__name__}() of a subclass")
        machine = super().__new__(cls)
        blueprint = cls.blueprint()
        for name in blueprint.defaults:
            value = blueprint.default(name)
            if value is not NO_DEFAULT:
                setattr(machine, name, value)
        return machine

    @classmethod
    def blueprint(cls) -> Blueprint:
        """What the class declares. Raises Mistake if it cannot be replicated."""
        found = cls.__blueprint
        if found is None:
            found = cls.__blueprint = Blueprint(cls, StateMachine, cls.__floats, cls.__derived, cls.__stored)
        return found

    def apply(self, operation: bytes, context: Context) -> bytes:
        """Execute one encoded operation; see operations.py for the outcome. MemoryError, BrokenStorage of
        a stored dict and anything that is not an Exception pass through: the replica has to stop."""
        blueprint = self.__blueprint or self.blueprint()
        name, offset = split_operation(operation)
        step = blueprint.by_header.get(name)
        if step is None:
            return encode_invalid(f"there is no command {operation_name(operation)[:64]!r}")
        if not step.bounded and nested_too_deep(operation):
            return encode_invalid(f"the arguments of {step.name!r} are nested too deep")
        try:
            arguments = step.decode(operation[offset:])  # a copy: for most operations cheaper than a view of them
        except (MemoryError, BrokenStorage):
            raise
        except Exception:  # a type's own __post_init__ may raise anything
            return encode_invalid(f"the arguments do not fit {step.name!r}")
        if blueprint.guarded:
            refusal = self._refusal(step.name, context)
            if refusal:
                return refusal
        values = msgspec.structs.astuple(arguments)
        if step.context_index >= 0:
            index = step.context_index
            values = (*values[:index], context, *values[index:])
        try:
            result = step.function(self, *values)
            outcome = encode_done(ordered(result) if step.result_has_sets else result)
        except (MemoryError, BrokenStorage):
            raise
        except Rejected as rejection:
            return encode_rejected(str(rejection))
        except Exception as error:  # whatever the user's code does, the other operations go on
            return encode_failed(type(error).__name__)
        return outcome if len(outcome) <= RESULT_BYTES_MAX else TOO_LARGE

    def allows(self, context: Context, operation: str) -> bool:
        """Who may call what: define it to refuse a client a command or query, by name, before it runs.

        Asked in the agreed order, with the state as it is then, so all replicas decide alike; it must not change the
        state. `context.client` is who signed. If it raises, the operation fails as if the command had."""
        return True

    def _refusal(self, operation: str, context: Context) -> bytes:
        try:
            if self.allows(context, operation):
                return b""
        except (MemoryError, BrokenStorage):
            raise
        except Rejected as rejection:
            return encode_rejected(str(rejection))
        except Exception as error:
            return encode_failed(type(error).__name__)
        return encode_rejected(f"client {context.client} may not call {operation}")

    def _read_beside(self, operation: bytes, context: Context) -> bytes | None:
        blueprint = self.__blueprint or self.blueprint()
        step = blueprint.by_header.get(split_operation(operation)[0])
        if step is None or step.why_ordered:
            return None
        return self.apply(operation, context)

    def snapshot(self) -> bytes:
        """All declared attributes. Dicts keep their order, sets are sorted. Raises Mistake if the state holds what
        was not declared or cannot be written."""
        blueprint = self.blueprint()
        present = check_declared(self, blueprint)
        if blueprint.stored:
            held = {name: present[name] for name in blueprint.stored}
            whole = {name: one.in_order() for name, one in held.items() if isinstance(one, StoredDict)}
            present = {**present, **whole}
        values = [ordered(present[name]) if blueprint.has_sets else present[name] for name in blueprint.attributes]
        try:
            try:
                return _encode((_PLAIN, blueprint.attributes, values))
            except OverflowError:
                return _encode((_WIDE, blueprint.attributes, encode_wide(values)))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise Mistake(unwritable(blueprint, values, error)) from error

    def restore(self, snapshot: bytes) -> None:
        """Become the state of `snapshot`. Raises Lie, and changes nothing, if it does not fit this class."""
        blueprint = self.blueprint()
        try:
            if snapshot[1:2] == _WIDE_MARK:
                layout, names, wide = _decode_wide_layout(snapshot)
                state = decode_wide(wide, blueprint.state)
            else:
                layout, names, state = blueprint.read_snapshot.decode(snapshot)
        except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
            raise Lie(f"a snapshot that does not fit the class {blueprint.name}: {error}") from error
        if names != blueprint.attributes or layout not in (_PLAIN, _WIDE):
            raise Lie(
                f"a snapshot of {', '.join(names)}, and the class {blueprint.name} declares "
                f"{', '.join(blueprint.attributes)}"
            )
        for name, value in zip(names, msgspec.structs.astuple(state), strict=True):
            setattr(self, name, value)
        for name in blueprint.derived:
            setattr(self, name, blueprint.default(name))


def check_declared(machine: Machine, blueprint: Blueprint) -> dict[str, Any]:
    """The machine's attributes. Raises Mistake if one is there that was not declared, or the other way round."""
    present = vars(machine)
    for name in present:
        if name not in blueprint.known:
            raise Mistake(
                f"{blueprint.name} sets self.{name} and does not declare it, so snapshots would lose it: "
                f"annotate it in the class body ({name}: int = 0, or what it is)"
            )
    for name in blueprint.attributes:
        if name not in present:
            raise Mistake(f"{blueprint.name}.{name} is declared and has no value: give it one in the class body")
    return present


def unwritable(blueprint: Blueprint, values: list[Any], error: Exception) -> str:
    """Which attribute it is that `error` speaks of, in a sentence."""
    for name, value in zip(blueprint.attributes, values, strict=True):
        try:
            encode_wide(value)
        except (TypeError, ValueError, OverflowError, RecursionError) as fault:
            return f"{blueprint.name}.{name} holds something that cannot be written in a snapshot: {fault}"
    return f"the state of {blueprint.name} cannot be written in a snapshot: {error}"
