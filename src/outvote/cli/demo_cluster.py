"""The processes of `outvote demo`: one directory, one child process a replica, nothing left behind.

Each child has a pipe as standard input: the traitors take their orders from it, and its end tells any child that the
demo is gone.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import sys
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from outvote.cli.cluster import fitted, threshold_keys_named
from outvote.cli.traitor import NOW
from outvote.configuration.files import create_cluster
from outvote.configuration.genesis import ChannelKind, Form, Genesis, Parameters
from outvote.errors import Mistake
from outvote.protocols.catalogue import protocol as protocol_named
from outvote.types import Nanos, Position, ReplicaId

HONEST_PROGRAM: Final = ("outvote", "run", "--supervised")  # ends when its standard input does
TRAITOR_PROGRAM: Final = ("outvote.cli.traitor", "run")
N: Final = 4
START_TIMEOUT_S: Final = 60.0  # half a second on an idle machine
ORDER_TIMEOUT_S: Final = 30.0
LINES_KEPT: Final = 200  # of each replica's standard error
# Below the ports that Linux, macOS and Windows give to outgoing connections: while a replica is down, nobody may
# be handed its port by chance.
PORTS: Final = range(16_000, 32_000)
PORT_ATTEMPTS_MAX: Final = 200


Program = tuple[str, ...]  # a module, and its first arguments


class Evidence(NamedTuple):
    """Two statements of one replica that exclude each other, as an honest replica keeps them on its disk."""

    accused: ReplicaId
    kept_by: ReplicaId
    what: str
    view: int
    position: int

    def text(self) -> str:
        return f"{self.short_text()} in view {self.view}"

    def short_text(self) -> str:
        return f"replica {self.accused} sealed two {self.what} for position {self.position}"


class ReplicaProcess:
    """One running child."""

    def __init__(self, replica: ReplicaId, program: Program, process: asyncio.subprocess.Process) -> None:
        self.replica = replica
        self.program = program
        self.process = process
        self.lines: deque[str] = deque(maxlen=LINES_KEPT)
        self.serving = asyncio.Event()
        self.recovered: Position = 0  # where its own disk had brought it when it began to serve
        self.ended = asyncio.Event()
        self.behaviours = ""  # that it said it has put on
        self.obeyed = asyncio.Event()
        self._reading = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        stream = self.process.stderr
        while stream is not None:
            try:
                raw = await stream.readline()
            except ValueError:  # a line beyond the reader's limit: dropped by it
                continue
            if not raw:
                break
            line = raw.decode(errors="replace").rstrip()
            line = line.removeprefix(f"replica {self.replica}: ").removeprefix("outvote: ")
            self.lines.append(line)
            if line.startswith("serving"):
                self.recovered = _position(line)
                self.serving.set()
            elif line.startswith(NOW):
                self.behaviours = line.removeprefix(NOW)
                self.obeyed.set()
        self.ended.set()

    async def stop(self) -> None:
        """SIGKILL, and wait for its end."""
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()
        await self._reading


class DemoCluster:
    """Four replicas, or as many as are asked for, on free loopback ports below `directory`."""

    def __init__(
        self, directory: Path, clients: list[str], form: Form = "signatures", channel: ChannelKind = "tls",
        protocol: str = "pbft", replicas: int = N, flags: Mapping[str, int] | None = None,
        threshold_keys: str | None = None,
    ) -> None:
        self.directory = directory
        self.genesis: Genesis = create_cluster(
            directory,
            name="demo",
            machine="outvote.machines.key_value:KeyValueStore",
            replicas=replicas,
            hosts=[f"127.0.0.1:{port}" for port in free_ports(replicas)],
            clients=clients,
            parameters=fitted(
                Parameters(view_timeout_ms=500, checkpoint_interval=64, window=128), protocol_named(protocol)
            ),
            form=form,
            channel=channel,
            protocol=protocol,
            tolerates=protocol_named(protocol).tolerates,
            threshold_keys=threshold_keys_named(threshold_keys, protocol_named(protocol)),
            flags=flags,
        )
        self.processes: dict[ReplicaId, ReplicaProcess] = {}

    async def start(self, replica: ReplicaId, program: Program = HONEST_PROGRAM) -> Nanos:
        """Start a replica and wait until it serves; returns how long that took. Raises Mistake with its sentence."""
        began = time.monotonic_ns()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", *program, str(self.directory), "--replica", str(replica),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=child_environment(),
            start_new_session=os.name == "posix",  # a Ctrl-C is for the demo alone, which then ends its children
        )  # fmt: skip
        running = self.processes[replica] = ReplicaProcess(replica, program, process)
        waiting = [asyncio.ensure_future(event.wait()) for event in (running.serving, running.ended)]
        try:
            await asyncio.wait(waiting, timeout=START_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()
        if not running.serving.is_set() or running.ended.is_set():
            sentence = running.lines[-1] if running.lines else f"it said nothing within {START_TIMEOUT_S:g} s"
            raise Mistake(f"replica {replica} did not start: {sentence}")
        return time.monotonic_ns() - began

    async def kill(self, replica: ReplicaId) -> None:
        await self.processes.pop(replica).stop()

    async def order(self, replica: ReplicaId, *behaviours: str) -> Nanos:
        """Tell a traitor what to put on; returns when it was told. Raises Mistake if it does not obey."""
        running = self.processes[replica]
        pipe = running.process.stdin
        if pipe is None:
            raise Mistake(f"replica {replica} takes no orders")
        running.obeyed.clear()
        told = time.monotonic_ns()
        pipe.write(" ".join(behaviours).encode() + b"\n")
        try:
            async with asyncio.timeout(ORDER_TIMEOUT_S):
                await pipe.drain()
                await running.obeyed.wait()
        except (TimeoutError, OSError):
            raise Mistake(f"replica {replica} does not take its order: {' '.join(behaviours)}") from None
        return told

    def behaviours(self, replica: ReplicaId) -> str:
        """Those that a traitor has put on; empty for everybody else."""
        running = self.processes.get(replica)
        said = running.behaviours if running is not None else ""
        return "" if said == "honest" else said

    def is_corruptible(self, replica: ReplicaId) -> bool:
        running = self.processes.get(replica)
        return running is not None and running.program == TRAITOR_PROGRAM

    def unexpected_ends(self) -> list[str]:
        """A sentence for each replica that ended without having been killed by us."""
        return [
            f"replica {replica} ended by itself: {running.lines[-1] if running.lines else 'without a word'}"
            for replica, running in sorted(self.processes.items())
            if running.ended.is_set()
        ]

    def evidence(self) -> list[Evidence]:
        """What the replicas keep on their disks against others."""
        found: list[Evidence] = []
        for keeper in range(N):
            folder = self.directory / f"replica-{keeper}" / "data" / "evidence"
            for path in sorted(folder.glob("replica-*.json")):
                with suppress(OSError, ValueError, KeyError, IndexError, TypeError):  # half written: next time
                    found.append(_evidence(keeper, path))
        return found

    async def close(self) -> None:
        processes, self.processes = list(self.processes.values()), {}
        await asyncio.gather(*(process.stop() for process in processes))


def _evidence(keeper: ReplicaId, path: Path) -> Evidence:
    entry = json.loads(path.read_text())
    statement = entry["statements"][0]
    _, view, position = statement["fields"][:3]
    kind = "proposals" if statement["kind"] == "ProposalStatement" else f"{statement['kind'].upper()} votes"
    return Evidence(int(entry["replica"]), keeper, kind, int(view), int(position))


def _position(line: str) -> Position:
    """Of "serving ...; view 3, position 128"."""
    _, found, number = line.rpartition("position ")
    return int(number) if found and number.isdigit() else 0


def free_ports(amount: int) -> list[int]:
    """Ports nobody listens on now. All are held until the last is found, so they differ."""
    rng = random.SystemRandom()
    held: list[socket.socket] = []
    try:
        for _ in range(PORT_ATTEMPTS_MAX):
            candidate = socket.socket()
            held.append(candidate)
            try:
                candidate.bind(("127.0.0.1", rng.choice(PORTS)))
            except OSError:
                held.pop().close()
            if len(held) == amount:
                return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()
    raise Mistake(f"no {amount} free ports on 127.0.0.1 between {PORTS.start} and {PORTS.stop}: close some servers")


def child_environment() -> dict[str, str]:
    """The children find this very package, and nothing that happens to lie in the current directory."""
    package = str(Path(__file__).resolve().parents[2])
    paths = [path for path in (os.environ.get("PYTHONPATH"), package) if path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
