"""What pure packages may not touch, and what no module may: clocks, chance, files, unordered sets, code as data."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

import pytest
from source_tree import Source, package_sources, planted

PURE_PACKAGES: Final = ("protocols", "core", "broadcast", "machines", "crypto", "wire", "diagram", "types", "errors")
PURE_MODULES: Final = ("client.config", "client.session", "client.reads", "client.votes")
IMPURE_MODULES: Final = frozenset(
    [
        "asyncio",
        "threading",
        "multiprocessing",
        "concurrent",
        "subprocess",
        "signal",
        "socket",
        "ssl",
        "select",
        "os",
        "io",
        "shutil",
        "tempfile",
        "pathlib",
        "time",
        "datetime",
        "random",
        "secrets",
        "uuid",
        "logging",
        "sys",
    ]
)
IMPURE_CALLS: Final = frozenset(("open", "hash", "id", "print", "input", "breakpoint"))
CODE_AS_DATA: Final = frozenset(
    ["pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "yaml", "jsonpickle"]
)
CODE_CALLS: Final = frozenset(("eval", "exec", "__import__"))

ORDER_FREE: Final = frozenset(["any", "all", "sum", "min", "max", "len", "sorted", "set", "frozenset"])
ORDER_TAKING: Final = frozenset(
    ["list", "tuple", "iter", "next", "enumerate", "zip", "map", "filter", "reversed", "dict"]
)
SET_TYPES: Final = frozenset(("set", "frozenset", "Set", "AbstractSet", "MutableSet"))
SET_METHODS: Final = frozenset(["union", "intersection", "difference", "symmetric_difference"])


def pure(source: Source) -> bool:
    return source.package in PURE_PACKAGES or source.module in PURE_MODULES


def modules_imported(source: Source) -> Iterator[tuple[int, str]]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield node.lineno, name.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.lineno, node.module.partition(".")[0]


def names_called(source: Source) -> Iterator[tuple[int, str]]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.lineno, node.func.id


def trespasses(source: Source, modules: frozenset[str], calls: frozenset[str]) -> list[str]:
    imported = [(line, f"imports {name}") for line, name in modules_imported(source) if name in modules]
    called = [(line, f"calls {name}()") for line, name in names_called(source) if name in calls]
    return [f"{source.module}:{line} {what}" for line, what in (*imported, *called)]


def purity_violations(source: Source) -> list[str]:
    return trespasses(source, IMPURE_MODULES, IMPURE_CALLS)


def code_as_data_violations(source: Source) -> list[str]:
    return trespasses(source, CODE_AS_DATA, CODE_CALLS)


def set_names(source: Source) -> dict[str, None]:
    """Names and attributes that are annotated as sets or assigned one. Scopes are not told apart, which errs
    towards finding too much."""
    targets: list[ast.expr] = []
    found: dict[str, None] = {}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.AnnAssign) and annotated_as_set(node.annotation):
            targets.append(node.target)
        elif isinstance(node, ast.Assign) and is_set(node.value, {}):
            targets += node.targets
        elif isinstance(node, ast.arg) and node.annotation is not None and annotated_as_set(node.annotation):
            found[node.arg] = None
    for target in targets:
        if isinstance(target, ast.Name):
            found[target.id] = None
        elif isinstance(target, ast.Attribute):
            found[target.attr] = None
    return found


def annotated_as_set(annotation: ast.expr) -> bool:
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return annotated_as_set(ast.parse(annotation.value, mode="eval").body)
    if isinstance(annotation, ast.BinOp):
        return annotated_as_set(annotation.left) or annotated_as_set(annotation.right)
    named = annotation.value if isinstance(annotation, ast.Subscript) else annotation
    return isinstance(named, ast.Name) and named.id in SET_TYPES


def is_set(node: ast.expr, names: dict[str, None]) -> bool:
    """Whether the expression is a set, as far as one file tells."""
    if isinstance(node, ast.Set | ast.SetComp):
        return True
    if isinstance(node, ast.Name):
        return node.id in names
    if isinstance(node, ast.Attribute):
        return node.attr in names
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr | ast.BitAnd | ast.Sub | ast.BitXor):
        return is_set(node.left, names) or is_set(node.right, names)
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name):
            return node.func.id in ("set", "frozenset")
        return isinstance(node.func, ast.Attribute) and node.func.attr in SET_METHODS
    return False


def set_order_violations(source: Source) -> list[str]:
    """Places where the order of a set could leak into a result."""
    names = set_names(source)
    forgiven = {
        id(argument)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ORDER_FREE
        for argument in node.args
    }
    lines: list[int] = []
    for node in ast.walk(source.tree):
        if isinstance(node, ast.For) and is_set(node.iter, names):
            lines.append(node.lineno)
        elif isinstance(node, ast.ListComp | ast.GeneratorExp | ast.DictComp) and id(node) not in forgiven:
            lines += [node.lineno for part in node.generators if is_set(part.iter, names)]
        elif (isinstance(node, ast.Call) and order_taken(node, names)) or (
            isinstance(node, ast.Starred) and is_set(node.value, names)
        ):
            lines.append(node.lineno)
    return [f"{source.module}:{line} depends on the order of a set" for line in lines]


def order_taken(node: ast.Call, names: dict[str, None]) -> bool:
    if isinstance(node.func, ast.Name):
        return node.func.id in ORDER_TAKING and any(is_set(argument, names) for argument in node.args)
    if isinstance(node.func, ast.Attribute):
        if node.func.attr == "pop":
            return not node.args and is_set(node.func.value, names)
        return node.func.attr in ("join", "extend") and any(is_set(argument, names) for argument in node.args)
    return False


PURE: Final = [source for source in package_sources() if pure(source)]


def test_pure_modules_touch_nothing_outside() -> None:
    assert [found for one in PURE for found in purity_violations(one) + set_order_violations(one)] == []


def test_no_module_turns_data_into_code() -> None:
    assert [found for one in package_sources() for found in code_as_data_violations(one)] == []


def test_the_pure_packages_are_there() -> None:
    assert {source.package for source in PURE} >= {"core", "machines", "crypto", "wire", "protocols"}


@pytest.mark.parametrize(
    "text",
    [
        "import time",
        "from os import environ",
        "import os.path",
        "def f() -> None:\n    import random",
        "from datetime import datetime",
        "x = open('file')",
        "x = hash('text')",
        "x = sorted(things, key=lambda one: id(one))",
        "print('here')",
    ],
)
def test_a_planted_impurity_is_found(text: str) -> None:
    assert len(purity_violations(planted("core.tally", text))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "for x in {1, 2}:\n    f(x)",
        "for x in set(things):\n    f(x)",
        "def f(votes: set[int]) -> None:\n    for vote in votes:\n        g(vote)",
        "class A:\n    def __init__(self) -> None:\n        self.votes: set[int] = set()\n\n"
        "    def f(self) -> list[int]:\n        return [vote for vote in self.votes]",
        "seen = set()\nx = list(seen)",
        "def f(a: frozenset[int], b: list[int]) -> None:\n    for x in a - set(b):\n        g(x)",
        "def f(a: 'set[int] | None') -> tuple[int, ...]:\n    return tuple(a)",
        "def f(a: set[int]) -> int:\n    return a.pop()",
        "def f(a: set[str]) -> str:\n    return ','.join(a)",
        "def f(a: set[int]) -> list[int]:\n    return [*a]",
        "x = {key: 1 for key in {1, 2}}",
    ],
)
def test_a_planted_dependence_on_set_order_is_found(text: str) -> None:
    assert len(set_order_violations(planted("core.tally", text))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "for x in sorted({1, 2}):\n    f(x)",
        "def f(votes: set[int]) -> bool:\n    return any(vote > 1 for vote in votes) and 3 in votes",
        "def f(votes: dict[int, bytes]) -> None:\n    for vote in votes:\n        g(vote)",
        "def f(a: set[int]) -> set[int]:\n    return {x + 1 for x in a}",
        "def f(a: list[int]) -> int:\n    return a.pop()",
    ],
)
def test_order_free_uses_of_sets_pass(text: str) -> None:
    assert set_order_violations(planted("core.tally", text)) == []


@pytest.mark.parametrize("text", ["import pickle", "from marshal import loads", "eval('1')", "exec('x = 1')"])
def test_planted_code_as_data_is_found(text: str) -> None:
    assert len(code_as_data_violations(planted("cli.main", text))) == 1
