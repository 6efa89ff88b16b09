"""Finds the user's class by its name, written module:Class. Runs the user's module: that is the point."""

from __future__ import annotations

import importlib
import sys
from difflib import get_close_matches
from pathlib import Path

from outvote.configuration.genesis import Genesis
from outvote.errors import Mistake
from outvote.machines.machine import StateMachine
from outvote.machines.versions import check_interchangeable
from outvote.types import ReplicaId


def load_machine(reference: str) -> type[StateMachine]:
    """The class that `reference` names, for example "outvote.machines.key_value:KeyValueStore".

    Modules are looked for in the working directory too. Raises Mistake if there is no such class, or if it cannot
    be replicated."""
    module_name, colon, class_name = reference.partition(":")
    if not colon or not module_name or not class_name.isidentifier():
        raise Mistake(f"write the class as module:Class, for example bank:Ledger, not {reference!r}")
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except Mistake:
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise Mistake(
                f"there is no module {error.name!r} in {here} or among the installed packages: go to its directory, "
                "install it, or correct the name"
            ) from error
        raise Mistake(f"the module {module_name!r} imports {error.name!r}, which is not installed") from error
    except Exception as error:
        raise Mistake(f"the module {module_name!r} cannot be imported: {type(error).__name__}: {error}") from error
    found = getattr(module, class_name, None)
    machines = [name for name, value in vars(module).items() if _replicated(value)]
    if found is None:
        near = get_close_matches(class_name, machines, 1) or machines
        advice = f"did you mean {near[0]}?" if near else "it defines no subclass of StateMachine"
        raise Mistake(f"the module {module_name!r} has no class {class_name}: {advice}")
    if not _replicated(found):
        raise Mistake(f"{reference} is no subclass of outvote.StateMachine: write class {class_name}(StateMachine)")
    machine: type[StateMachine] = found
    machine.blueprint()
    return machine


def machine_of(genesis: Genesis, replica: ReplicaId) -> type[StateMachine]:
    """The class that this replica runs. Raises Mistake if there is none, or if it cannot stand for the cluster's."""
    machine = load_machine(genesis.machine_of(replica))
    if genesis.machine_of(replica) != genesis.machine:
        check_interchangeable(load_machine(genesis.machine), machine)
    return machine


def _replicated(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, StateMachine) and value is not StateMachine
