"""What a user's class says about itself: its state, its commands, and every mistake in them, found before it runs."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

import msgspec

from outvote.errors import Mistake
from outvote.machines.contract import Context
from outvote.machines.operations import NAME_BYTES_MAX, header
from outvote.machines.read_only import why_not
from outvote.machines.value_types import dict_types, facts_of, mutable_kinds

COMMAND: Final = "command"
QUERY: Final = "query"
MARK: Final = "outvote_kind"  # the attribute that @command and @query set on a function
_RESERVED: Final = ("apply", "snapshot", "restore", "allows")
_MUTABLE: Final = (list, dict, set, bytearray)
NO_DEFAULT: Final = object()


class Parameter(msgspec.Struct, frozen=True):
    """One argument of a command."""

    name: str
    type: Any
    required: bool
    default: Any


class Command:
    """One marked method."""

    __slots__ = (
        "_unproven", "arguments", "bounded", "context_index", "decode", "doc", "function", "kind", "name", "parameters",
        "result_has_sets", "result_type", "siblings",
    )  # fmt: skip

    def __init__(self, owner: type, name: str, kind: str, function: Callable[..., Any], floats: bool) -> None:
        self.name = name
        self.kind = kind  # COMMAND or QUERY
        self.function: Any = function
        self.siblings = {name: value for base in reversed(owner.__mro__) for name, value in vars(base).items()}
        self.doc = inspect.getdoc(function) or ""
        where = f"{owner.__name__}.{name}"
        hints = _hints(function, where)
        parameters: list[Parameter] = []
        self.context_index = -1  # place of the Context among the arguments; -1: not asked for
        self.bounded = True  # the types themselves keep the arguments from being nested too deep
        for index, (label, given) in enumerate(_parameters(function).items()):
            if hints[label] is Context:
                self.context_index = index
                continue
            facts = facts_of(hints[label], floats, f"{where}, argument {label},")
            self.bounded = self.bounded and facts.bounded
            required = given.default is inspect.Parameter.empty
            parameters.append(Parameter(label, hints[label], required, None if required else given.default))
        self.parameters = tuple(parameters)
        self.result_type = hints["return"]
        self.result_has_sets = facts_of(self.result_type, floats, f"{where}, result,").has_sets
        self.arguments = _arguments_struct(where, name, self.parameters)
        self.decode = msgspec.msgpack.Decoder(self.arguments).decode
        self._unproven: str | None = None  # read when it is first asked for

    @property
    def why_ordered(self) -> str:
        """Why it cannot run beside the order, at whatever moment a replica has time; empty if it can."""
        if self.kind != QUERY:
            return "it may change the state"
        if self.context_index >= 0:
            return "it asks for its Context: the place in the order, the agreed time"
        if self._unproven is None:
            self._unproven = why_not(self.function, self.siblings) or why_not(self.siblings["allows"], self.siblings)
        return self._unproven


class Blueprint:
    """Everything that `StateMachine` needs to know about one class."""

    __slots__ = (
        "attributes", "by_header", "commands", "defaults", "derived", "derived_types", "guarded", "has_sets", "known",
        "name", "own_snapshot", "read_snapshot", "state", "stored", "types",
    )  # fmt: skip

    def __init__(
        self, owner: type, root: type, floats: bool, derived: tuple[str, ...], stored: tuple[str, ...] = ()
    ) -> None:
        self.name = owner.__name__
        check_shape(owner, root)
        hints = _hints(owner, owner.__name__)
        names = [name for name, hint in hints.items() if not _is_class_variable(hint)]
        for name in derived:
            if name not in names:
                raise Mistake(f"{self.name} calls {name!r} derived and does not declare it: annotate it in the class")
        self.derived = derived
        self.types: dict[str, Any] = {name: _bare(hints[name]) for name in names if name not in derived}
        self.derived_types = [_bare(hints[name]) for name in derived]
        self.attributes = tuple(self.types)
        self.known = dict.fromkeys(names)
        self.defaults = {name: getattr(owner, name) for name in names if hasattr(owner, name)}
        for name in derived:
            if name not in self.defaults:
                raise Mistake(f"{self.name}.{name} is derived and needs a default to start from after a restore")
        self.guarded = _overrides(owner, root, "allows")
        if self.guarded:
            _check_guard(owner)
        self.own_snapshot = _overrides(owner, root, "snapshot")
        if self.own_snapshot != _overrides(owner, root, "restore"):
            raise Mistake(f"{self.name} must define both snapshot and restore, or neither")
        self.has_sets = False
        if not self.own_snapshot:
            for name, kind in self.types.items():
                self.has_sets |= facts_of(kind, floats, f"{self.name}.{name}").has_sets
        self.stored = stored
        for name in stored:
            self._check_stored(name)
        self.commands = {
            name: Command(owner, name, kind, getattr(owner, name), floats) for name, kind in marked(owner).items()
        }
        if not self.commands:
            raise Mistake(f"{self.name} has no command: mark at least one method with @command")
        self.by_header = {header(name): command for name, command in self.commands.items()}
        self.state = _state_struct(self.name, {} if self.own_snapshot else self.types)
        self.read_snapshot = msgspec.msgpack.Decoder(tuple[int, tuple[str, ...], self.state])  # type: ignore[name-defined]

    def _check_stored(self, name: str) -> None:
        where = f"{self.name}.{name} is to be stored"
        if self.own_snapshot:
            raise Mistake(f"{where}, and {self.name} writes its own snapshots: do one or the other")
        if name not in self.types:
            raise Mistake(f"{where} and is not declared, or derived: annotate it in the class ({name}: dict[str, str])")
        found = dict_types(self.types[name])
        if found is None:
            raise Mistake(f"{where} and is no dict with plain keys: declare it as dict[str, ...]")
        mutable = mutable_kinds(found[1])
        if mutable:
            kinds = ", ".join([one.__name__ for one in mutable])
            raise Mistake(
                f"{where}, and its values could be changed in place ({kinds}), which the store would not see: use "
                "values that cannot, as str, int, bytes, tuple or a frozen Struct"
            )

    def default(self, name: str) -> Any:
        """A fresh copy of what the class body assigns to the attribute; NO_DEFAULT if nothing."""
        value = self.defaults.get(name, NO_DEFAULT)
        if isinstance(value, dataclasses.Field):
            factory = value.default_factory
            value = value.default if factory is dataclasses.MISSING else factory()
            return NO_DEFAULT if value is dataclasses.MISSING else value
        if type(value) is _FIELD:
            if value.default_factory is not msgspec.NODEFAULT:
                return value.default_factory()
            return NO_DEFAULT if value.default is msgspec.NODEFAULT else copy.deepcopy(value.default)
        return copy.deepcopy(value)


_FIELD: Final[Any] = type(msgspec.field())


def marked(owner: type) -> dict[str, str]:
    """Marked methods and their kinds, base classes first; an override stays what its base is."""
    kinds: dict[str, str] = {}
    for base in reversed(owner.__mro__):
        for name, value in vars(base).items():
            plain = value.__func__ if isinstance(value, (staticmethod, classmethod)) else value
            kind = getattr(plain, MARK, None)
            if kind in (COMMAND, QUERY):
                kinds[name] = kind
    return kinds


def check_shape(owner: type, root: type) -> None:
    """What can be seen before annotations are resolved. Raises Mistake."""
    for name, kind in marked(owner).items():
        _check_method(owner, name, kind)
    for base in owner.__mro__:
        if base is root:
            break
        annotated = inspect.get_annotations(base)
        for name in _RESERVED:
            if name in annotated:
                raise Mistake(f"{owner.__name__}.{name} has the name of a method of every machine: rename it")
        for name, value in vars(base).items():
            if isinstance(value, _MUTABLE) and name not in annotated and not name.startswith("__"):
                raise Mistake(
                    f"{owner.__name__}.{name} would be shared by all instances and left out of snapshots: annotate "
                    f"it ({name}: {type(value).__name__}[...] = ...), and each instance gets a copy of its own"
                )


def _check_method(owner: type, name: str, kind: str) -> None:
    where = f"{owner.__name__}.{name}"
    function = inspect.getattr_static(owner, name)
    if not isinstance(function, types.FunctionType):
        raise Mistake(f"{where} is marked with @{kind} and is not a plain method: write def {name}(self, ...)")
    if name in _RESERVED or name.startswith("__"):
        raise Mistake(f"{where} cannot be a {kind}, because every machine has a method of this name: rename it")
    if len(name.encode()) > NAME_BYTES_MAX:
        raise Mistake(f"{where} has a name of more than {NAME_BYTES_MAX} bytes: shorten it")
    if (
        inspect.iscoroutinefunction(function)
        or inspect.isgeneratorfunction(function)
        or (inspect.isasyncgenfunction(function))
    ):
        raise Mistake(f"{where} must be a plain method that returns its result: no async, no yield")
    annotated = function.__annotations__
    for label, parameter in _parameters(function).items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.KEYWORD_ONLY):
            raise Mistake(f"{where} takes {label} by * or **: give it plain parameters, each with its type")
        if label not in annotated:
            raise Mistake(f"{where} does not say what type {label} has: write {label}: int, or what it is")
    if "return" not in annotated:
        raise Mistake(f"{where} does not say what it returns: write -> None, -> int, or what it is")


def _check_guard(owner: type) -> None:
    guard = inspect.getattr_static(owner, "allows")
    if not isinstance(guard, types.FunctionType) or len(inspect.signature(guard).parameters) != 3:
        raise Mistake(f"{owner.__name__}.allows cannot be asked: write def allows(self, context, operation) -> bool")
    if inspect.iscoroutinefunction(guard):
        raise Mistake(f"{owner.__name__}.allows must be a plain method that returns True or False: no async")


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Without self."""
    parameters = dict(inspect.signature(function).parameters)
    if not parameters:
        raise Mistake(f"{function.__qualname__} takes no self: write def {function.__name__}(self, ...)")
    del parameters[next(iter(parameters))]
    return parameters


def _hints(subject: Any, where: str) -> dict[str, Any]:
    try:
        try:  # a command may be called `list` or `set`: the class body's own names come second
            return typing.get_type_hints(subject, localns={}, include_extras=True)
        except (NameError, TypeError):
            return typing.get_type_hints(subject, include_extras=True)
    except (NameError, TypeError, SyntaxError, AttributeError) as error:
        raise Mistake(
            f"{where} has an annotation that cannot be resolved ({error}): define or import the type at the top "
            "of its module, not inside a function or under TYPE_CHECKING"
        ) from error


def _is_class_variable(hint: Any) -> bool:
    return hint is ClassVar or typing.get_origin(hint) is ClassVar


def _bare(hint: Any) -> Any:
    return typing.get_args(hint)[0] if typing.get_origin(hint) is Final else hint


def _overrides(owner: type, root: type, name: str) -> bool:
    return getattr(owner, name) is not getattr(root, name)


def _state_struct(name: str, kinds: dict[str, Any]) -> type[msgspec.Struct]:
    fields = [(f"field_{index}", kind) for index, kind in enumerate(kinds.values())]
    return msgspec.defstruct(f"{name}State", fields, array_like=True, forbid_unknown_fields=True)


def _arguments_struct(where: str, name: str, parameters: tuple[Parameter, ...]) -> type[msgspec.Struct]:
    fields: list[Any] = []
    for parameter in parameters:
        if parameter.required:
            fields.append((parameter.name, parameter.type))
        elif isinstance(parameter.default, _MUTABLE):
            fields.append((parameter.name, parameter.type, _fresh(parameter.default)))
        else:
            fields.append((parameter.name, parameter.type, parameter.default))
    try:
        return msgspec.defstruct(name, fields, array_like=True, forbid_unknown_fields=True)
    except (TypeError, ValueError) as error:
        raise Mistake(f"{where} has parameters that cannot be sent: {error}") from error


def _fresh(default: Any) -> Any:
    """A field whose default is copied for each call, unlike Python's own mutable defaults."""
    return msgspec.field(default_factory=lambda: copy.deepcopy(default))
