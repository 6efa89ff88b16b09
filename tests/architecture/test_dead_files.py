"""Every module is reached: imported by another one or by a test, or started by name."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterable, Sequence

from source_tree import ROOT, Source, other_sources, package_sources, planted


def reached_names(sources: Iterable[Source]) -> dict[str, list[str]]:
    """Dotted name below outvote -> the modules that import it or name it in a string ("outvote.cli.check")."""
    found: dict[str, list[str]] = {}
    for source in sources:
        for node in ast.walk(source.tree):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [name.name for name in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                names = [node.module, *(f"{node.module}.{name.name}" for name in node.names)]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                names = [node.value.partition(":")[0]]
            for name in names:
                if name.startswith("outvote."):
                    found.setdefault(name.removeprefix("outvote."), []).append(source.module)
    return found


def dead_modules(
    modules: Sequence[Source], others: Iterable[Source], entry_points: Iterable[str]
) -> list[str]:
    """Modules nobody reaches. A package's own __init__ and __main__ are reached by being there."""
    reached = reached_names((*modules, *others))
    packages = [source.module.rpartition(".")[0] for source in modules]
    return [
        source.module
        for source in modules
        if source.module not in packages
        and source.module.rpartition(".")[2] not in ("", "__main__")
        and source.module not in entry_points
        and not any(by != source.module for by in reached.get(source.module, []))
        and not (len(source.tree.body) == 1 and ast.get_docstring(source.tree))
    ]


def entry_points() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [target.partition(":")[0].removeprefix("outvote.") for target in project["scripts"].values()]


def test_no_module_is_dead() -> None:
    assert dead_modules(package_sources(), other_sources(), entry_points()) == []


def test_entry_points_exist() -> None:
    assert set(entry_points()) <= {source.module for source in package_sources()}


def test_a_planted_dead_module_is_found() -> None:
    modules = [
        planted("core", '"""Package."""'),
        planted("core.alive", "x = 1"),
        planted("core.started", "x = 1"),
        planted("core.spawned", "x = 1"),
        planted("core.dead", "from outvote.core import dead"),
        planted("cli.main", "from outvote.core.alive import x\nCOMMAND = 'outvote.core.spawned'"),
    ]
    assert dead_modules(modules, [], ["core.started", "cli.main"]) == ["core.dead"]
    assert (
        dead_modules(
            modules, [planted("tests/a.py", "import outvote.core.dead")], ["core.started", "cli.main"]
        )
        == []
    )
