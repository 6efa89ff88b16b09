"""Where the documents and their programs are, and how to run one beside a cluster."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PROGRAMS: Final = ROOT / "docs_src"
PATIENCE_S: Final = 60.0  # of a busy machine; every wait ends as soon as its condition holds


def free_port_block(count: int) -> int:
    """The first of `count` consecutive ports that are free now, below the ephemeral ones."""
    chance = random.SystemRandom()
    while True:
        first = chance.randrange(10_000, 32_000)
        if all(_free(first + offset) for offset in range(count)):
            return first


def _free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def environment() -> dict[str, str]:
    """Of a reader's shell in the directory of the programs; without what would change what is printed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OUTVOTE_", "COLUMNS"))}
    return {**kept, "PYTHONPATH": os.pathsep.join((str(PROGRAMS), str(ROOT / "src")))}


def run(*command: str | Path, where: Path, code: int = 0) -> str:
    """What a command prints on standard output; `outvote ...` and `python ...` are this interpreter's."""
    words = [str(word) for word in command]
    replaced = {"python": [sys.executable], "outvote": [sys.executable, "-m", "outvote"]}[words[0]]
    done = subprocess.run(
        [*replaced, *words[1:]], cwd=where, env=environment(), capture_output=True, text=True, check=False,
        timeout=PATIENCE_S, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == code, f"{words} ended with {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


@contextmanager
def cluster_up(where: Path, machine: str, protocol: str = "pbft") -> Iterator[None]:
    """`outvote up` in a directory, until the block ends; its cluster's directory is outvote-cluster."""
    port = str(free_port_block(4))
    run("outvote", "init", "--machine", machine, "--protocol", protocol, "--base-port", port, where=where)
    log = where / "up.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "outvote", "up"], cwd=where, env=environment(), stdout=output, stderr=output,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + PATIENCE_S
        while "4 of 4 replicas answer" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)
