"""A cluster of real processes for tests: real sockets, real disks, and no process left behind."""

from __future__ import annotations

import asyncio
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from outvote.cli.status import Inquiry, Overview, plain_lines

PATIENCE_S = 40.0  # of a busy machine; every wait ends as soon as its condition holds
OUTVOTE = (sys.executable, "-m", "outvote")


def wait_until(condition: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"in {patience_s:g} s this did not happen: {what}")
        time.sleep(0.02)


def free_ports(count: int) -> list[int]:
    """Below the ephemeral ports, which other connections would take meanwhile."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.SystemRandom().randrange(10_000, 32_000)
        with closing(socket.socket()) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in ports:
            ports.append(port)
    return ports


def outvote(
    *arguments: str | Path, cwd: Path | None = None, code: int | None = 0, timeout_s: float = PATIENCE_S
) -> subprocess.CompletedProcess[str]:
    """Run the command; `code` is what it must end with, None for any."""
    done = subprocess.run(
        [*OUTVOTE, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=timeout_s,
        check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    if code is not None:
        assert done.returncode == code, (
            f"{arguments} ended with {done.returncode}: {done.stdout}{done.stderr}"
        )
    return done


def start(
    arguments: Sequence[str | Path], log: Path, cwd: Path | None = None, program: Sequence[str] = OUTVOTE
) -> subprocess.Popen[bytes]:
    """A command that goes on; what it prints goes to `log`."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [*program, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=cwd
        )


class RealCluster:
    """`with RealCluster(...) as cluster`: all replicas serve when the block begins, none lives when it ends."""

    def __init__(self, directory: Path, *options: str, replicas: int = 4) -> None:
        self.directory = directory
        self.n = replicas
        self.ports = free_ports(replicas)
        self.make(*options)
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def make(self, *options: str) -> None:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        outvote("init", self.directory, "--hosts", hosts, *options)

    def __enter__(self) -> RealCluster:
        for replica in range(self.n):
            self.launch(replica)
        try:
            for replica in range(self.n):
                self.await_serving(replica)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait()

    def log(self, replica: int) -> Path:
        return self.directory / f"replica-{replica}.log"

    def data(self, replica: int) -> Path:
        return self.directory / f"replica-{replica}" / "data"

    def said(self, replica: int) -> str:
        return self.log(replica).read_text()

    def launch(self, replica: int, program: Sequence[str] = OUTVOTE) -> subprocess.Popen[bytes]:
        self.log(replica).write_text("")
        arguments = ("run", self.directory, "--replica", str(replica))
        process = start(arguments, self.log(replica), program=program)
        self._processes[replica] = process
        return process

    def await_serving(self, replica: int) -> None:
        def settled() -> bool:
            assert self._processes[replica].poll() is None, self.said(replica)
            return "serving at" in self.said(replica)

        wait_until(settled, f"replica {replica} serves")

    def end(self, replica: int, how: signal.Signals) -> int:
        """Its exit code."""
        process = self._processes[replica]
        process.send_signal(how)
        return process.wait(PATIENCE_S)

    def exit_code(self, replica: int) -> int:
        """Of a replica that ends by itself."""
        return self._processes[replica].wait(PATIENCE_S)

    def outvote(self, *arguments: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        return outvote(*arguments, "--cluster", self.directory, code=code)

    def status(self) -> dict[str, Any]:
        """As `outvote status --json` prints it, without paying for a process."""
        told: dict[str, Any] = asyncio.run(self._ask()).as_json()
        return told

    async def _ask(self) -> Overview:
        inquiry = Inquiry(self.directory, None)
        try:
            return await inquiry.overview(2.0)
        finally:
            await inquiry.close()

    def await_agreement(self, replicas: Sequence[int], position: int = 0) -> None:
        """All of these at one position, at least `position`, with one history."""

        lines: list[str] = []

        def agreed() -> bool:
            overview = asyncio.run(self._ask())
            lines[:] = plain_lines(overview)
            told = [overview.reports[replica] for replica in replicas]
            stands = {(one.standing.position, one.history) if one else (-1, b"") for one in told}
            return len(stands) == 1 and min(stands)[0] >= position

        try:
            wait_until(agreed, f"replicas {replicas} agree at {position} or later")
        except TimeoutError as error:
            logs = [self.said(replica) for replica in range(self.n)]
            raise TimeoutError("\n".join((str(error), *lines, *logs))) from None
