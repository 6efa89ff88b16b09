"""Several implementations of one machine: a bug in one is outvoted, as long as at most f replicas run it.

Replicas may run different classes if nobody can tell them apart from outside: the same commands with the same
arguments and results, and the same state in the same snapshots (the abstraction function of BASE: Castro, Rodrigues
and Liskov, TOCS 2003). How a command computes, and what it keeps beside the declared state as `derived`, is its own.
"""

from __future__ import annotations

from typing import Any

from outvote.errors import Mistake
from outvote.machines.blueprint import Command
from outvote.machines.machine import StateMachine


def check_interchangeable(machine: type[StateMachine], other: type[StateMachine]) -> None:
    """Raises Mistake with the first difference that can be seen without running them: in commands, their arguments and
    results, or the declared state. What they compute is compared by the cluster, at every answer and checkpoint."""
    first, second = machine.blueprint(), other.blueprint()
    pair = f"{_name(machine)} and {_name(other)}"
    for name in (*first.commands, *second.commands):
        ours, theirs = first.commands.get(name), second.commands.get(name)
        if ours is None or theirs is None:
            lacking = other if theirs is None else machine
            raise Mistake(f"{pair} cannot stand for each other: {_name(lacking)} has no command {name!r}")
        difference = _difference(ours, theirs)
        if difference:
            raise Mistake(f"{pair} cannot stand for each other: {name!r} differs in {difference}")
    if first.own_snapshot != second.own_snapshot:
        raise Mistake(f"{pair} cannot stand for each other: define snapshot and restore in both, or in neither")
    if not first.own_snapshot and list(first.types.items()) != list(second.types.items()):
        raise Mistake(
            f"{pair} cannot stand for each other: their states are {_state(first.types)} and {_state(second.types)};"
            " declare the same attributes in the same order, and call the others derived"
        )


def _difference(ours: Command, theirs: Command) -> str:
    if ours.kind != theirs.kind:
        return f"kind: {ours.kind} and {theirs.kind}"
    if ours.parameters != theirs.parameters:
        return f"arguments: {_parameters(ours)} and {_parameters(theirs)}"
    if ours.result_type != theirs.result_type:
        return f"result: {_type(ours.result_type)} and {_type(theirs.result_type)}"
    return ""


def _parameters(command: Command) -> str:
    words = [
        f"{one.name}: {_type(one.type)}" + ("" if one.required else f" = {one.default!r}") for one in command.parameters
    ]
    return f"({', '.join(words)})"


def _state(types: dict[str, Any]) -> str:
    return "(" + ", ".join(f"{name}: {_type(kind)}" for name, kind in types.items()) + ")"


def _name(machine: type[StateMachine]) -> str:
    return f"{machine.__module__}:{machine.__qualname__}"


def _type(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__args__") else str(kind)
