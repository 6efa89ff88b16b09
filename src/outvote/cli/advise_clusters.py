"""`outvote advise --clusters`: each of the choices run on this machine for a moment, and measured from a client."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from outvote.cli.bench_null import NullService
from outvote.cli.demo_cluster import DemoCluster, free_ports
from outvote.cli.serve import run_loop
from outvote.client.aio import Client
from outvote.configuration.files import create_cluster
from outvote.protocols.catalogue import protocol

WARM_UP: Final = 20  # operations before the first that counts
OPERATIONS: Final = 60  # one at a time
SECONDS: Final = 1.0
OUTSTANDING: Final = 64


class Measured(NamedTuple):
    """Empty operations that are ordered, all replicas and the client on this machine."""

    latency_ms: float  # the median of OPERATIONS, one at a time
    operations_per_s: float  # with OUTSTANDING of them


class _Cluster(DemoCluster):
    """n replicas of the NullService."""

    def __init__(self, directory: Path, name: str, n: int) -> None:
        self.directory = directory
        self.genesis = create_cluster(
            directory, name="advice", machine="outvote.cli.bench_null:NullService", replicas=n,
            hosts=[f"127.0.0.1:{port}" for port in free_ports(n)], protocol=name, tolerates=protocol(name).tolerates,
        )
        self.processes = {}


def run_clusters(where: Path, sizes: dict[str, tuple[str, int]]) -> dict[str, Measured]:
    """`sizes`: by choice, the protocol and how many replicas. One after the other, some seconds each."""
    found: dict[str, Measured] = {}

    async def measure() -> None:
        for choice, (name, n) in sizes.items():
            found[choice] = await _measured(where / f"{name}-{n}", name, n)

    run_loop(measure())
    return found


async def _measured(directory: Path, name: str, n: int) -> Measured:
    cluster = _Cluster(directory, name, n)
    try:
        await asyncio.gather(*(cluster.start(replica) for replica in range(n)))
        async with await Client.connect(directory, machine=NullService) as client:
            latency_s = await _latency_s(client)
            return Measured(latency_s * 1e3, await _throughput(client))
    finally:
        await cluster.close()


async def _latency_s(client: Client) -> float:
    latencies: list[float] = []
    for number in range(WARM_UP + OPERATIONS):
        began = time.perf_counter()
        await client.call("write", b"", 0)
        if number >= WARM_UP:
            latencies.append(time.perf_counter() - began)
    return median(latencies)


async def _throughput(client: Client) -> float:
    done = 0
    began = time.monotonic()

    async def closed_loop() -> None:
        nonlocal done
        while time.monotonic() - began < SECONDS:
            await client.call("write", b"", 0)
            done += 1

    await asyncio.gather(*(closed_loop() for _ in range(OUTSTANDING)))
    return done / (time.monotonic() - began)
