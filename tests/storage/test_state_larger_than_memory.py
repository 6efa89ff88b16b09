"""A real process over a real store: its memory stays small while the state grows; a kill leaves the last checkpoint."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHILD = """
import json, sys
from hashlib import sha256
from outvote import StateMachine, command
from outvote.core.contract import Delivery, Request
from outvote.host.keeping import Keeping
from outvote.host.inline import Quiet
from outvote.machines.executor import Executor
from outvote.machines.operations import encode_operation
from outvote.storage.directory import DirectoryDisk
from outvote.types import FIRST_CLIENT

class Texts(StateMachine, stored=("texts",)):
    texts: dict[str, str] = {}

    @command
    def put(self, name: str, text: str) -> int:
        self.texts[name] = text
        return len(self.texts)

def private_bytes():
    for line in open("/proc/self/status"):
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024

path, checkpoints = sys.argv[1], int(sys.argv[2])
disk = DirectoryDisk(path, sha256(b"a cluster").digest(), 2, sync="inline", nodes=True)
executor = Executor(Texts())
keeping = Keeping(disk, Quiet(), stored=True)
recovered = disk.recover()
state = keeping.take_over(recovered)
if state is not None:
    executor.install(state)
before = private_bytes()
peak = 0
for _ in range(checkpoints):
    for _ in range(2):
        position = executor.position + 1
        operations = tuple(
            encode_operation("put", [f"{position} {one}", f"{position} {one} ".ljust(16_000, "x")]) for one in range(64)
        )
        request = Request(FIRST_CLIENT, position, position - 1, operations, b"")
        executor.deliver(Delivery(position, 0, (request,), 0, False))
    snapshot = executor.checkpoint()
    disk.append([b"record"], [])
    disk.keep(snapshot.position, snapshot.digest, keeping.image(snapshot.state), [])
    peak = max(peak, private_bytes() - before)
    texts = executor.machine.texts
    told = [snapshot.position, snapshot.digest.hex(), snapshot.state.size_bytes, peak, len(texts), texts["1 7"][:4]]
    print(json.dumps(told), flush=True)
"""


def run(path: Path, checkpoints: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), str(checkpoints)], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.processes
def test_the_memory_of_a_process_stays_small_while_its_state_grows(tmp_path: Path) -> None:
    """98 MB of values; a process that held them would hold them twice."""
    child = run(tmp_path / "data", 48)
    lines = [json.loads(line) for line in child.communicate(timeout=120)[0].splitlines()]
    assert child.returncode == 0
    position, _, size_bytes, peak, count, found = lines[-1]
    assert (position, count, found) == (96, 96 * 64, "1 7 ")
    assert size_bytes > 98_000_000
    assert peak < size_bytes / 2, "the cache, and what changed between two checkpoints, as objects and as bytes"
    again = run(tmp_path / "data", 1)
    (line,) = again.communicate(timeout=120)[0].splitlines()
    assert json.loads(line)[0] == 98, "it went on from there"
    assert json.loads(line)[3] < size_bytes / 2


@pytest.mark.processes
def test_a_killed_process_comes_back_with_its_last_checkpoint(tmp_path: Path) -> None:
    lines = 2
    child = run(tmp_path / "data", 1000)
    assert child.stdout is not None
    for _ in range(lines):
        child.stdout.readline()
    child.kill()
    said = [json.loads(line) for line in child.stdout.read().splitlines() if line.endswith("]")]
    child.wait()
    last = said[-1][0] if said else 2 * lines
    again = run(tmp_path / "data", 1)
    (line,) = again.communicate(timeout=120)[0].splitlines()
    position = json.loads(line)[0]
    assert position in (last + 2, last + 4), "one more may have been kept without a word"
    whole = run(tmp_path / "other", position // 2)
    assert json.loads(whole.communicate(timeout=120)[0].splitlines()[-1])[:2] == json.loads(line)[:2], "equal digests"
