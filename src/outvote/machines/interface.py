"""What a client and the command line know of a machine: its commands, how to write a call, how to read an answer.

Everything here runs on the user's side: a wrong name or argument is a Mistake before anything is sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import msgspec
from msgspec import inspect as shapes

from outvote.errors import Lie, Mistake
from outvote.machines.blueprint import QUERY, Blueprint, Command, Parameter
from outvote.machines.machine import StateMachine
from outvote.machines.operations import decode_outcome, encode_operation


class CommandInterface:
    """One command or query as its caller sees it."""

    __slots__ = ("_arguments", "_command", "_decode", "_result", "doc", "kind", "name", "parameters", "result_type")

    def __init__(self, command: Command) -> None:
        self.name = command.name
        self.kind = command.kind  # "command" or "query"
        self.doc = command.doc
        self.parameters: tuple[Parameter, ...] = command.parameters
        self.result_type: Any = command.result_type
        self._command = command
        self._arguments = command.arguments
        self._decode = command.decode
        self._result: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(command.result_type)

    @property
    def query(self) -> bool:
        """Whether it promises not to change the state."""
        return self.kind == QUERY

    @property
    def fast(self) -> bool:
        """Whether it can be read in one round trip, beside the order."""
        return not self._command.why_ordered

    def signature(self) -> str:
        """For people: put(key: str, value: str) -> int."""
        parts = []
        for parameter in self.parameters:
            default = "" if parameter.required else f" = {parameter.default!r}"
            parts.append(f"{parameter.name}: {_type_name(parameter.type)}{default}")
        return f"{self.name}({', '.join(parts)}) -> {_type_name(self.result_type)}"

    def encode(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
        """The operation's bytes. Raises Mistake if the arguments do not fit."""
        try:
            arguments = self._arguments(*args, **kwargs)
            operation = encode_operation(self.name, arguments)
            self._decode(msgspec.msgpack.encode(arguments))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise Mistake(f"cannot call {self.signature()}: {error}") from error
        return operation

    def decode(self, outcome: bytes) -> Any:
        """The value that the command returned. Raises Refused with the reason if it was not done, Mistake if the
        result does not have the type that the command declares."""
        try:
            return decode_outcome(outcome, self._result)
        except Lie as error:
            raise Mistake(f"{self.signature()} answered something else than it declares ({error}): "
                          "correct its result type, and run the same class everywhere") from error  # fmt: skip

    def parse(self, texts: Sequence[str]) -> bytes:
        """The operation's bytes from words of a command line; see `parse_value`. Raises Mistake."""
        if len(texts) > len(self.parameters):
            raise Mistake(f"{self.signature()} takes {len(self.parameters)} arguments, not {len(texts)}")
        return self.encode([self._read(*pair) for pair in zip(self.parameters, texts, strict=False)], {})

    def _read(self, parameter: Parameter, text: str) -> Any:
        try:
            return parse_value(text, parameter.type)
        except (msgspec.MsgspecError, ValueError) as error:
            raise Mistake(f"{text!r} is no {parameter.name} of {self.signature()}: {error}") from error


class Interface:
    """All commands of a class, by name in the order they stand in it."""

    __slots__ = ("commands", "name")

    def __init__(self, blueprint: Blueprint) -> None:
        self.name = blueprint.name
        self.commands: dict[str, CommandInterface] = {
            name: CommandInterface(command) for name, command in blueprint.commands.items()
        }

    def command(self, name: str) -> CommandInterface:
        """Raises Mistake, naming the nearest command, if there is none of this name."""
        found = self.commands.get(name)
        if found is None:
            near = get_close_matches(name, self.commands, 1)
            advice = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(self.commands)}"
            raise Mistake(f"{self.name} has no command {name!r}: {advice}")
        return found

    def encode(self, name: str, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> bytes:
        """The bytes of a call. Raises Mistake for an unknown command or arguments that do not fit."""
        return self.command(name).encode(args, kwargs or {})

    def decode(self, name: str, outcome: bytes) -> Any:
        """What the call returned. Raises Refused with the reason if it was not done."""
        return self.command(name).decode(outcome)

    def parse(self, name: str, texts: Sequence[str]) -> bytes:
        """The bytes of a call written on a command line. Raises Mistake."""
        return self.command(name).parse(texts)


def describe(machine: type[StateMachine]) -> Interface:
    """The interface of a class. Raises Mistake if the class cannot be replicated."""
    return Interface(machine.blueprint())


def parse_value(text: str, kind: Any) -> Any:
    """One word of a command line as a value: text stays as it is, bytes are its UTF-8, `null` is None where that is
    allowed, everything else is JSON, or the plain text where that fits (a name of an enum, a date).

    Raises msgspec.ValidationError or ValueError if it is no value of this type."""
    shape = shapes.type_info(kind)
    options = shape.types if isinstance(shape, shapes.UnionType) else (shape,)
    if text == "null" and any(isinstance(one, shapes.NoneType) for one in options):
        return None
    plain = [one.type if isinstance(one, shapes.Metadata) else one for one in options]
    left = [one for one in plain if not isinstance(one, shapes.NoneType)]
    if len(left) == 1 and isinstance(left[0], shapes.StrType):
        return text
    if len(left) == 1 and isinstance(left[0], shapes.BytesType):
        return text.encode()
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError as error:
        try:
            return msgspec.convert(text, kind)
        except msgspec.ValidationError as plain_error:
            raise (error if text[:1] in ("{", "[", '"') else plain_error) from None  # what it was meant to be


def _type_name(kind: Any) -> str:
    if kind is type(None):
        return "None"
    return kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__args__") else str(kind)
