"""The files that the architecture's rules look at. Rules take a Source, so that a test can hand them a planted one."""

from __future__ import annotations

import ast
import subprocess
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGE: Final = ROOT / "src" / "outvote"


class Source(NamedTuple):
    """One Python file. `module` is relative to the package ("core.tally", "" for the package itself); for files
    outside of it, the path."""

    module: str
    text: str

    @property
    def tree(self) -> ast.Module:
        return _parsed(self.text)

    @property
    def package(self) -> str:
        """The first part of the module's name: the layer it belongs to."""
        return self.module.partition(".")[0]


@cache
def _parsed(text: str) -> ast.Module:
    """Where a rule first asks: of the processes that share the tests, most never need 800 trees."""
    return ast.parse(text)


def planted(module: str, text: str) -> Source:
    return Source(module, text)


@cache
def package_sources() -> tuple[Source, ...]:
    """Every module of src/outvote."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found.append(planted(".".join(parts[:-1] if parts[-1] == "__init__" else parts), path.read_text()))
    return tuple(found)


@cache
def other_sources() -> tuple[Source, ...]:
    """Every Python file of the tests, the benchmarks and the examples."""
    folders = [ROOT / name for name in ("tests", "bench", "examples", "docs_src")]
    paths = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    return tuple(planted(str(path.relative_to(ROOT)), path.read_text()) for path in paths)


def tracked_files() -> list[Path]:
    """What git knows, and what it would know after `git add`."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]
