"""Real processes: killed while they write, out of space by a real limit, two on one directory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from directories import inline

from outvote.errors import Mistake

CHILD = """
import queue, resource, signal, sys
from hashlib import sha256
from outvote.errors import DiskFull
from outvote.storage.directory import DirectoryDisk

path, mode, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])
posted = queue.Queue()
disk = DirectoryDisk(path, sha256(b"a cluster").digest(), 2, sync=mode, post=posted.put, segment_bytes_max=20000)
disk.recover()
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
disk.on_durable = lambda: print(disk.durable, flush=True)
state = b"state" * 1000
for number in range(1, 1 << 30):
    try:
        ticket = disk.append([b"%d" % number + b"." * (number % 300)], [])
        if number % 200 == 0:
            disk.keep(number, sha256(state).digest(), state, [b"head %d" % number])
        disk.check()
    except DiskFull as error:
        print("full", error, flush=True)
        break
    if disk.syncs_inline:
        print(disk.durable, flush=True)
    else:
        while ticket - disk.durable > 5:
            posted.get()()
"""


def start(path: Path, mode: str, limit: int = 0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), mode, str(limit)], stdout=subprocess.PIPE, text=True
    )


def last_record(path: Path) -> int:
    """The highest number found; every record since the snapshot must be there, in order."""
    reports: list[str] = []
    disk = inline(path, reports)
    found = disk.recover()
    disk.close()
    assert all("cut off" in report for report in reports), reports
    numbers = [int(body.split(b".")[0]) for body in found.records if not body.startswith(b"head")]
    last = numbers[-1] if numbers else found.position
    assert numbers == list(range(found.position + 1, last + 1))
    return last


@pytest.mark.processes
@pytest.mark.parametrize("mode", ["inline", "thread"])
@pytest.mark.parametrize("lines", [1, 50, 333])
def test_what_a_killed_process_called_durable_is_there(tmp_path: Path, mode: str, lines: int) -> None:
    child = start(tmp_path / "data", mode)
    assert child.stdout is not None
    for _ in range(lines):
        child.stdout.readline()
    child.kill()
    said = child.stdout.read().split("\n")
    child.wait()
    durable = [int(line) for line in said[:-1]]
    assert last_record(tmp_path / "data") >= max(durable, default=lines)


@pytest.mark.processes
@pytest.mark.parametrize("mode", ["inline", "thread"])
def test_a_real_limit_on_the_size_of_files(tmp_path: Path, mode: str) -> None:
    child = start(tmp_path / "data", mode, limit=13_000)
    assert child.stdout is not None
    *said, full = child.stdout.read().splitlines()
    assert child.wait() == 0
    assert full.startswith("full")
    assert "no space left" in full
    assert "log-" in full
    assert last_record(tmp_path / "data") >= int(said[-1]) > 20


@pytest.mark.processes
def test_a_directory_belongs_to_one_process_until_it_dies(tmp_path: Path) -> None:
    child = start(tmp_path / "data", "inline")
    assert child.stdout is not None
    child.stdout.readline()
    with pytest.raises(Mistake, match="another replica runs"):
        inline(tmp_path / "data").recover()
    child.kill()
    child.communicate()
    assert last_record(tmp_path / "data") > 0
