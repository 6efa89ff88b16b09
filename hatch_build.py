"""What `pip install .` and `python -m build` do besides packing the sources: with OUTVOTE_COMPILED=1, compile them."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

WANTED: Final = os.environ.get("OUTVOTE_COMPILED", "") not in ("", "0")
# As it was tried with; mypy checks while it compiles, so what the sources import must be there as well.
TOOLS: Final = ["mypy>=2.4,<3", "setuptools>=65"]


class CompiledBuild(BuildHookInterface):  # type: ignore[type-arg]
    """Adds the compiled modules to a wheel. Without OUTVOTE_COMPILED it does nothing."""

    def dependencies(self) -> list[str]:
        if not WANTED:
            return []
        project = tomllib.loads((Path(self.root) / "pyproject.toml").read_text())["project"]
        return [*TOOLS, *project["dependencies"]]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if not WANTED:
            return
        if version == "editable":
            sys.exit("an editable installation runs the sources: leave out --editable, or OUTVOTE_COMPILED")
        sys.path.insert(0, self.root)
        from compile_outvote import CannotCompile, compile_tree

        self._copy = tempfile.TemporaryDirectory(prefix="outvote-compiled-")
        tree = Path(self._copy.name)
        shutil.copytree(Path(self.root) / "src", tree / "src", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        try:
            built = compile_tree(tree)
        except CannotCompile as error:
            sys.exit(str(error))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["force_include"].update({str(path): str(path.relative_to(tree / "src")) for path in built})

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if hasattr(self, "_copy"):
            self._copy.cleanup()
