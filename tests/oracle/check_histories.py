"""`make oracle`: has histories of the swarm judged by porcupine as well, a checker written in Go by others.

Needs Go, and its module proxy the first time.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from histories import history_of, write

HERE: Final = Path(__file__).resolve().parent
PROTOCOLS: Final = ("pbft", "pbft-authenticators", "raft", "honeybadger")


def build(folder: Path) -> Path:
    """The oracle's program. Raises CalledProcessError, with what Go said."""
    program = folder / "oracle"
    subprocess.run(["go", "build", "-o", program, "."], cwd=HERE, check=True, capture_output=True, text=True)
    return program


def judge(program: Path, files: list[Path]) -> tuple[int, list[str]]:
    """Its exit status, and a line for each file: verdict, operations, name."""
    told = subprocess.run([program, *files], capture_output=True, text=True, check=False)
    assert told.returncode in (0, 1), told.stderr
    return told.returncode, told.stdout.splitlines()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--protocol", nargs="*", default=PROTOCOLS)
    given = parser.parse_args()
    if shutil.which("go") is None:
        raise SystemExit("make oracle needs Go: https://go.dev/dl")
    status = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = build(folder)
        for protocol in given.protocol:
            files = []
            for seed in range(given.first, given.first + given.seeds):
                files.append(folder / f"{protocol}-{seed}.jsonl")
                write(files[-1], history_of(protocol, seed))
            ended, lines = judge(program, files)
            status = max(status, ended)
            wrong = [line for line in lines if line.startswith("Illegal ")]
            undecided = sum(line.startswith("Unknown ") for line in lines)
            operations = sum(int(line.split()[1]) for line in lines)
            print(
                f"{protocol}: {len(lines)} histories, {operations} operations; "
                f"{len(wrong)} not linearizable, {undecided} not decided in time", *wrong, sep="\n", flush=True,
            )
    raise SystemExit(status)


if __name__ == "__main__":
    main()
