"""Compile a copy of this checkout, and see that it does what the sources do: `make compiled`, some five minutes.

Equal trace digests of simulated runs, and the scripts and the tests of every protocol on the compiled copy. Tests that
plant a fault cannot run there: a function of a compiled module that is replaced is still called by its neighbours.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from survey_determinism import PROGRAM

ROOT: Final = Path(__file__).resolve().parents[2]
LEFT_BEHIND: Final = shutil.ignore_patterns(
    ".*", "__pycache__", "build", "dist", "*.so", "*.pyd", "outvote-cluster", "outvote-failures"
)
TESTS: Final = ("tests/scripts", "tests/conformance/test_every_protocol.py")
WHICH: Final = "from outvote.observe.surroundings import is_compiled; print(is_compiled())"


def said(tree: Path, *command: str) -> str:
    """What Python prints with the sources, or what is compiled beside them, of `tree`."""
    environment = {**os.environ, "PYTHONPATH": str(tree / "src")}
    done = subprocess.run([sys.executable, *command], env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def differing(copy: Path, protocol: str, seeds: int) -> int:
    """How many seeds end with another digest when compiled; prints them."""
    arguments = ("-c", PROGRAM, protocol, "0", str(seeds))
    pairs = zip(said(ROOT, *arguments).splitlines(), said(copy, *arguments).splitlines(), strict=True)
    found = [f"differs: {first} | {second}" for first, second in pairs if first != second]
    print("\n".join([*found, f"{protocol}: {seeds} seeds, {len(found)} differ"]), flush=True)
    return len(found)


def survey(copy: Path, protocols: list[str], seeds: int) -> None:
    """Ends the process with a sentence if the two differ."""
    if [said(ROOT, "-c", WHICH), said(copy, "-c", WHICH)] != ["False\n", "True\n"]:
        sys.exit(f"{ROOT} should be sources only, and {copy} compiled")
    if sum(differing(copy, protocol, seeds) for protocol in protocols):
        sys.exit("what is compiled does something else")
    tests = [sys.executable, "-m", "pytest", "-q", *TESTS]
    if subprocess.run(tests, cwd=copy, env={**os.environ, "PYTHONPATH": str(copy / "src")}, check=False).returncode:
        sys.exit("tests that the sources pass fail when compiled")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--protocols", nargs="+", default=["pbft", "pbft-authenticators", "raft"])
    parser.add_argument("--keep", type=Path, help="leave the compiled copy here, to measure it: bench/in_turns.py")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="outvote-compiled-") as folder:
        copy = options.keep.resolve() if options.keep else Path(folder) / "copy"
        if copy.exists():
            parser.error(f"{copy} is there already")
        shutil.copytree(ROOT, copy, ignore=LEFT_BEHIND)
        subprocess.run([sys.executable, str(ROOT / "compile_outvote.py"), str(copy)], check=True)
        survey(copy, options.protocols, options.seeds)


if __name__ == "__main__":
    main()
