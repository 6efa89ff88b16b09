"""Compile the modules on the way of an operation with mypyc, each beside its source: `OUTVOTE_COMPILED=1 pip install .`

    python compile_outvote.py TREE      a copy of this checkout, never the checkout itself

The same code, checked by the same mypy, as C extensions: Python imports them instead of the sources that lie beside
them. docs/decisions/0021 says what it gains and what it takes away.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path
from sysconfig import get_config_var
from typing import Final

_WITHIN: Final = "--within"
GROUP: Final = "outvote"  # all in one library, outvote__mypyc, so that they call each other without Python between

COMPILED: Final = (
    "client/connections", "client/reads", "client/session", "client/votes",
    "core/certificates", "core/quorums", "core/request_pool", "core/tally", "core/timers",
    "crypto/authenticators", "crypto/seals",
    "host/budgets", "host/client_gate", "host/connection", "host/keeping", "host/links", "host/listener",
    "host/node", "host/orders", "host/reads", "host/restoring", "host/tentative", "host/turn", "host/witness",
    "machines/fields", "machines/interface", "machines/item_form", "machines/leaves", "machines/merkle_map",
    "machines/operations", "machines/sessions",
    "protocols/pbft/admission", "protocols/pbft/catch_up", "protocols/pbft/checkpoint", "protocols/pbft/form",
    "protocols/pbft/large", "protocols/pbft/normal", "protocols/pbft/performance", "protocols/pbft/reads",
    "protocols/pbft/replica", "protocols/pbft/restore", "protocols/pbft/rounds", "protocols/pbft/signatures",
    "protocols/pbft/slot", "protocols/pbft/state", "protocols/pbft/tentative", "protocols/pbft/view_change",
    "protocols/pbft/authenticators/admission", "protocols/pbft/authenticators/checkpoint",
    "protocols/pbft/authenticators/choice", "protocols/pbft/authenticators/form",
    "protocols/pbft/authenticators/state", "protocols/pbft/authenticators/view_change",
    "protocols/raft/election", "protocols/raft/log", "protocols/raft/membership", "protocols/raft/reads",
    "protocols/raft/repair", "protocols/raft/replica", "protocols/raft/replication", "protocols/raft/restore",
    "protocols/raft/snapshots", "protocols/raft/state",
    "storage/directory", "storage/files", "storage/frames", "storage/log", "storage/mark",
    "transport/keyed", "transport/tls",
    "wire/codec", "wire/frames",
)

_KEYWORDS: Final = "msgspec reads the keywords of a class statement (tag, frozen, array_like), and mypyc drops them"
_EXTENDED: Final = "no interpreted class can extend a compiled one, and there are some that extend "

# What else is on the way of an operation.
LEFT_OUT: Final = {
    "client/aio": _EXTENDED + "Client: yours, perhaps",
    "client/config": _KEYWORDS,
    "core/checkpoints": _KEYWORDS,
    "core/committee": _EXTENDED + "Committee: in the simulator",
    "core/contract": _KEYWORDS + "; and protocols of your own extend Core",
    "host/voice": _EXTENDED + "Voice: traitors",
    "machines/executor": _EXTENDED + "Executor: in the simulator",
    "machines/machine": "what it calls is your class",
    "machines/merkle_branch": _KEYWORDS,
    "machines/stored_dict": "an abstract class is above it, so isinstance would hold of any dict",
    "machines/tracked_dict": "it extends dict and has slots, which mypyc cannot give to one class",
    "protocols/pbft/messages": _KEYWORDS,
    "protocols/pbft/records": _KEYWORDS,
    "protocols/pbft/authenticators/messages": _KEYWORDS,
    "protocols/pbft/authenticators/records": _KEYWORDS,
    "protocols/raft/members": _KEYWORDS,
    "protocols/raft/messages": _KEYWORDS,
    "protocols/raft/records": _KEYWORDS,
    "wire/client_messages": _KEYWORDS,
}


class CannotCompile(Exception):
    """Says what to do."""


def check() -> None:
    """Raises CannotCompile if this machine lacks what it takes."""
    for name in ("mypyc", "setuptools"):
        if find_spec(name) is None:
            raise CannotCompile(f"compiling outvote needs {name}: pip install mypy setuptools")
    compiler = (os.environ.get("CC") or get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        raise CannotCompile(
            f"compiling outvote needs a C compiler, and there is no {compiler}: install one (Debian, Ubuntu: apt "
            "install gcc), name another with CC=, or leave OUTVOTE_COMPILED out: outvote runs without being compiled"
        )


def keywords_in(tree: ast.Module) -> list[str]:
    """Classes with keywords in their statement: mypyc drops these without a word."""
    return [one.name for one in tree.body if isinstance(one, ast.ClassDef) and one.keywords]


def compile_tree(tree: Path) -> list[Path]:
    """Below `tree`/src, in some minutes; returns the libraries that were built. Raises CannotCompile."""
    check()
    sources = tree / "src"
    for module in COMPILED:
        if named := keywords_in(ast.parse((sources / "outvote" / f"{module}.py").read_text())):
            raise CannotCompile(f"{module}.py cannot be compiled with {named[0]} in it: {_KEYWORDS}")
    command = [sys.executable, str(Path(__file__).resolve()), _WITHIN, str(sources)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise CannotCompile(f"outvote could not be compiled:\n{done.stdout[-4000:]}")
    return sorted(path for path in sources.rglob("*") if path.name.endswith(tuple(EXTENSION_SUFFIXES)))


def _compile_within(sources: Path) -> None:
    """In a process of its own, for mypyc and setuptools want the working directory and end processes on errors."""
    from mypyc.build import mypycify
    from setuptools import setup

    os.chdir(sources)
    scratch = sources.parent / "build" / "compiled"
    extensions = mypycify(
        ["--ignore-missing-imports", *(f"outvote/{module}.py" for module in COMPILED)],  # extras need not be there
        opt_level="3", debug_level="0", multi_file=True, target_dir=str(scratch / "c"), group_name=GROUP,
    )
    places = ["--build-temp", str(scratch), "--build-lib", str(scratch / "lib")]
    setup(name=GROUP, packages=[], ext_modules=extensions, script_args=["build_ext", "--inplace", "-j2", *places])


def main() -> None:
    if sys.argv[1:2] == [_WITHIN]:
        _compile_within(Path(sys.argv[2]))
        return
    if len(sys.argv) != 2 or not (Path(sys.argv[1]) / "src" / "outvote").is_dir():
        sys.exit(f"usage: python {Path(__file__).name} TREE, a copy of the checkout with src/outvote in it")
    tree = Path(sys.argv[1]).resolve()
    if (tree / ".git").exists():
        sys.exit(
            f"{tree} is a checkout, and what is compiled there would hide later changes of its sources: make a copy "
            "(mkdir COPY; git archive HEAD | tar x -C COPY) and name that"
        )
    try:
        built = compile_tree(tree)
    except CannotCompile as error:
        sys.exit(str(error))
    print(f"{len(COMPILED)} modules are compiled below {tree}: {sum(one.stat().st_size for one in built) >> 10} KiB")


if __name__ == "__main__":
    main()
