"""A real outvote cluster under a closed-loop load: four replica processes, a safe channel, durable log on.

The client runs in this process. `Cluster` starts and stops the replicas; `load` measures one setting.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import psutil

from outvote import Client, KeyValueStore
from outvote.cli.serve import run_loop
from outvote.client.config import SessionConfig
from outvote.configuration.files import create_cluster
from outvote.configuration.genesis import ChannelKind, Form, Parameters
from outvote.protocols.catalogue import protocol as protocol_named
from outvote.types import SECOND

KEYS = 10_000


def patient() -> SessionConfig:
    """Processes have to start first, on a machine that may have other work."""
    return SessionConfig(timeout_ns=60 * SECOND, first_number=time.time_ns() // 1000)

SERVE = (
    "import sys, pathlib; from outvote.cli.serve import run_replica;"
    " run_replica(pathlib.Path(sys.argv[1]), int(sys.argv[2]))"
)


def free_port_block(count: int) -> int:
    """The first of `count` consecutive ports that are free now."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            base = int(probe.getsockname()[1])
        if base + count < 65_536 and all(_is_free(base + offset) for offset in range(count)):
            return base


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class Cluster:
    """n replica processes in a temporary directory under `where`."""

    def __init__(
        self, where: Path | None, n: int = 4, form: Form = "signatures", channel: ChannelKind = "tls",
        clients: Sequence[str] = ("default",), protocol: str = "pbft", parameters: Parameters | None = None,
        flags: Mapping[str, int] | None = None, serve: str = SERVE,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="outvote-bench-", dir=where)
        self.directory = Path(self._folder.name) / "cluster"
        entry = protocol_named(protocol)
        create_cluster(
            self.directory, name="bench", machine="outvote.machines.key_value:KeyValueStore", replicas=n,
            base_port=free_port_block(n), form=form, channel=channel, clients=clients,
            protocol=protocol, tolerates=entry.tolerates, flags=flags,
            parameters=msgspec.structs.replace(parameters or Parameters(), **dict.fromkeys(entry.lacks, False)),
            threshold_keys="dealt" if entry.deals else "none",
        )
        self.processes = [
            subprocess.Popen(
                [sys.executable, "-c", serve, str(self.directory), str(replica)], stderr=subprocess.DEVNULL
            )
            for replica in range(n)
        ]

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait()
        self._folder.cleanup()

    def memory_mib(self) -> list[float]:
        """Resident memory of each replica."""
        return [round(psutil.Process(process.pid).memory_info().rss / 2**20, 1) for process in self.processes]

    def cpu_s(self) -> float:
        """CPU seconds of all replicas together, and of processes that they have started."""
        replicas = [psutil.Process(process.pid) for process in self.processes]
        workers = [worker for replica in replicas for worker in replica.children()]
        return sum(sum(one.cpu_times()[:2]) for one in (*replicas, *workers))


def measure(
    cluster: Cluster, outstanding: int, seconds: float, value_bytes: int, operations: int | None = None,
    warm_up: int = 50,
) -> dict[str, Any]:
    """Closed loop: `outstanding` operations under way at once, for `seconds` or until `operations` are done. Before
    that `warm_up` ones, one after the other."""
    results: list[dict[str, Any]] = []

    async def main() -> None:
        results.append(await _load(cluster, outstanding, seconds, value_bytes, operations, warm_up))

    run_loop(main())
    return results[0]


async def _load(
    cluster: Cluster, outstanding: int, seconds: float, value_bytes: int, operations: int | None, warm_up: int
) -> dict[str, Any]:
    latencies: list[float] = []
    value = "v" * value_bytes
    issued = 0
    async with await Client.connect(cluster.directory, machine=KeyValueStore, config=patient()) as client:
        async def closed_loop() -> None:
            nonlocal issued
            while time.monotonic() < stop and (operations is None or issued < operations):
                issued += 1
                began = time.perf_counter()
                await client.call("put", f"key{issued % KEYS}", value)
                latencies.append(time.perf_counter() - began)

        for _ in range(warm_up):  # connections and code paths warm
            await client.call("put", "warm", value)
        cpu = cluster.cpu_s()
        own = time.process_time()
        began = time.monotonic()
        stop = began + seconds
        await asyncio.gather(*(closed_loop() for _ in range(outstanding)))
        elapsed = time.monotonic() - began
    count = len(latencies)
    latencies.sort()
    return {
        "outstanding": outstanding,
        "ops_per_s": round(count / elapsed),
        "p50_ms": round(latencies[count // 2] * 1e3, 3),
        "p99_ms": round(latencies[count * 99 // 100] * 1e3, 3),
        "client_cpu_us_per_op": round((time.process_time() - own) / count * 1e6, 1),
        "replicas_cpu_us_per_op": round((cluster.cpu_s() - cpu) / count * 1e6, 1),
    }
