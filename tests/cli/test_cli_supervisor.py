"""`outvote up`: a whole cluster from one command, which mends what dies and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from real_cluster import PATIENCE_S, outvote, start, wait_until

from outvote.configuration.files import load_genesis

pytestmark = pytest.mark.processes


class Supervised:
    """An `outvote up` of ./c that runs in `place`."""

    def __init__(self, place: Path, process: subprocess.Popen[bytes], log: Path) -> None:
        self.place = place
        self.process = process
        self._log = log

    def said(self) -> str:
        return self._log.read_text()

    def await_said(self, text: str, times: int = 1) -> None:
        wait_until(lambda: self.said().count(text) >= times, f"outvote up says {text!r} {times} times")

    def process_of(self, replica: int) -> int:
        return int(re.findall(rf"replica {replica}: serving at \S+ process (\d+)", self.said())[-1])

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE_S)


@contextmanager
def supervised(place: Path, *options: str) -> Iterator[Supervised]:
    """Ends the replicas too, whatever happened to their supervisor."""
    log = place / "up.log"
    log.write_text("")
    process = start(("up", "c", *options), log, cwd=place)
    running = Supervised(place, process, log)
    try:
        yield running
    finally:
        process.kill()
        process.wait()
        try:
            await_silence(place)
        except TimeoutError:
            for number in set(re.findall(r"process (\d+);", running.said())):
                with suppress(ProcessLookupError):
                    os.kill(int(number), signal.SIGKILL)
            raise


def await_silence(place: Path) -> None:
    """No replica listens any more, whatever became of the supervisor."""
    if (place / "c" / "cluster.toml").exists():
        addresses = load_genesis(place / "c").addresses().values()
        wait_until(lambda: not any(map(listens, addresses)), "the replicas end with their supervisor")


def listens(address: tuple[str, int]) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(address) == 0


def test_up_restarts_what_dies_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    with supervised(tmp_path) as running:
        running.await_said("serving at", 4)
        running.await_said("4 of 4 replicas answer; 1 more may fail")
        outvote("put", "kept", "yes", "--cluster", "c", cwd=tmp_path)
        os.kill(running.process_of(2), signal.SIGKILL)
        running.await_said("ended (SIGKILL): starting it again")
        running.await_said("serving at", 5)
        second = outvote("up", "c", cwd=tmp_path, code=2)
        assert second.stderr == "outvote: another outvote up runs the cluster in c: stop it first\n"
        assert running.interrupt() == 0
        assert "stopped; the data stay in c" in running.said()
    with supervised(tmp_path) as running:
        running.await_said("cluster c goes on")
        assert outvote("get", "kept", "--cluster", "c", cwd=tmp_path).stdout == "yes\n"
        assert all(map(listens, load_genesis(tmp_path / "c").addresses().values()))
        running.process.kill()
        await_silence(tmp_path)
    for options, sentence in (
        (("--replicas", "7"), "has 4 replicas, not 7"),
        (("--machine", "bank:Ledger"), "not bank:Ledger"),
    ):
        assert sentence in outvote("up", "c", *options, cwd=tmp_path, code=2).stderr


def test_up_gives_up_what_cannot_be_mended(tmp_path: Path) -> None:
    outvote("init", "c", "--replicas", "1", "--base-port", "9", cwd=tmp_path)  # its key is then taken away
    (tmp_path / "c" / "replica-0" / "signing.key").unlink()
    with supervised(tmp_path) as running:
        assert running.process.wait(PATIENCE_S) == 2
        assert "signing.key is missing" in running.said()
        assert running.said().count("starting it again") == 2
        assert "replica 0 stays down: this will not mend itself (exit code 2)" in running.said()
        assert running.said().splitlines()[-1].startswith("outvote: no replica runs any more")
