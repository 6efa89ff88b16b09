"""The list of modules that can be compiled: what mypyc would get wrong without a word, or refuse at run time."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Final

from source_tree import ROOT, Source, package_sources, planted

HARMLESS_BASES: Final = {"Protocol", "NamedTuple", "Generic", "asyncio.Protocol"}


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("compile_outvote", ROOT / "compile_outvote.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


compile_outvote: Final = _load()
COMPILED: Final = tuple(name.replace("/", ".") for name in compile_outvote.COMPILED)


def extended(modules: Iterable[Source], compiled: Sequence[str]) -> list[str]:
    """Classes of interpreted modules that extend one of a compiled module."""
    found = []
    for source in modules:
        if source.module in compiled:
            continue
        imported = {
            name.asname or name.name: (node.module or "").removeprefix("outvote.")
            for node in source.tree.body if isinstance(node, ast.ImportFrom) for name in node.names
        }
        for node in source.tree.body:
            if isinstance(node, ast.ClassDef):
                bases = [base.value if isinstance(base, ast.Subscript) else base for base in node.bases]
                if any(isinstance(base, ast.Name) and imported.get(base.id) in compiled for base in bases):
                    found.append(f"{source.module}:{node.name}")
    return found


def abstract(modules: Sequence[Source]) -> set[str]:
    """Compiled classes that may have an abstract base class above them. mypyc has them share its list of subclasses, so
    isinstance holds of all that extend it as well, where an interpreted module asks."""
    classes = [node for source in modules for node in source.tree.body if isinstance(node, ast.ClassDef)]
    bases = {node.name: [ast.unparse(base).partition("[")[0] for base in node.bases] for node in classes}
    found = {name for name, above in bases.items() if not {*above} <= {*bases, *HARMLESS_BASES}}
    while more := {name for name, above in bases.items() if found.intersection(above)} - found:
        found |= more
    return found


def asked_for(modules: Iterable[Source], classes: set[str]) -> list[str]:
    """Where isinstance is called with one of these classes, other than to assert what is known."""
    found = []
    for source in modules:
        if not classes.intersection(source.text.replace("(", " ").replace(")", " ").split()):
            continue
        nodes = list(ast.walk(source.tree))
        asserted = {id(part) for node in nodes if isinstance(node, ast.Assert) for part in ast.walk(node)}
        found += [
            f"{source.module}: {ast.unparse(node)}"
            for node in nodes
            if isinstance(node, ast.Call) and id(node) not in asserted
            and isinstance(node.func, ast.Name) and node.func.id in ("isinstance", "issubclass")
            and any(isinstance(part, ast.Name) and part.id in classes for part in ast.walk(node.args[1]))
        ]
    return found


def test_what_is_listed_exists_once() -> None:
    listed = [*COMPILED, *(name.replace("/", ".") for name in compile_outvote.LEFT_OUT)]
    assert len(set(listed)) == len(listed)
    assert set(listed) <= {source.module for source in package_sources()}


def test_no_class_of_a_compiled_module_has_keywords() -> None:
    dropped = {
        source.module: compile_outvote.keywords_in(source.tree)
        for source in package_sources() if source.module in COMPILED
    }
    assert {module: names for module, names in dropped.items() if names} == {}
    assert compile_outvote.keywords_in(ast.parse("class Vote(Message, frozen=True, tag=3): pass")) == ["Vote"]


def test_no_interpreted_class_extends_a_compiled_one() -> None:
    assert extended(package_sources(), COMPILED) == []


def test_a_planted_extension_is_found() -> None:
    inside = planted("host.turn", "class Other(Turn): pass")
    outside = planted("cli.other", "from outvote.host.turn import Turn as Base\nclass Other(Base[int]): pass")
    assert extended([inside, outside], ["host.turn"]) == ["cli.other:Other"]


def test_nobody_asks_for_an_instance_of_a_compiled_class_below_an_abstract_one() -> None:
    compiled = [source for source in package_sources() if source.module in COMPILED]
    assert "PbftReplica" in abstract(compiled)
    assert asked_for((one for one in package_sources() if one.module not in COMPILED), abstract(compiled)) == []


def test_a_planted_question_is_found() -> None:
    core = planted("core.one", "class One(Core): pass\nclass Two(One): pass\nclass Three(NamedTuple): pass")
    assert abstract([core]) == {"One", "Two"}
    asking = planted("cli.other", "assert isinstance(x, Two)\nif isinstance(y, (Two, int)): pass")
    assert asked_for([asking], {"One", "Two"}) == ["cli.other: isinstance(y, (Two, int))"]
