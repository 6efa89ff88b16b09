"""Two checkouts beside each other on a busy machine: bursts in turns, and quantiles of what they took.

Other work disturbs both alike, and the lowest quantiles least. Each checkout's cluster and client run its own code.

    python bench/in_turns.py OLD_CHECKOUT NEW_CHECKOUT --outstanding 1 --burst 15 --bursts 150
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import psutil

from cluster import Cluster, patient
from outvote import Client, KeyValueStore
from outvote.cli.serve import run_loop
from outvote.configuration.genesis import channel_named, form_named
from run import memory_folder

QUANTILES: Final = (2, 5, 10, 25, 50)  # per cent
NAMES: Final = ("CPU of all processes, us/op", "median latency, us")


def cpu_s(cluster: Cluster) -> float:
    """CPU of the replicas and of this process, finer than the clock ticks that psutil counts in, where Linux tells."""
    total = time.process_time()
    for process in cluster.processes:
        schedule = Path(f"/proc/{process.pid}/schedstat")
        if schedule.exists():
            total += int(schedule.read_text().split()[0]) / 1e9
        else:
            total += sum(psutil.Process(process.pid).cpu_times()[:2])
    return total


async def serve_bursts(cluster: Cluster, outstanding: int, burst: int) -> None:
    """One burst for each line of the standard input; says what it took."""
    client = await Client.connect(cluster.directory, machine=KeyValueStore, config=patient())
    latencies: list[float] = []

    async def load(count: int) -> None:
        issued = 0

        async def closed_loop() -> None:
            nonlocal issued
            while issued < count:
                issued += 1
                began = time.perf_counter()
                await client.call("put", f"key{issued}", "v" * 100)
                latencies.append(time.perf_counter() - began)

        await asyncio.gather(*(closed_loop() for _ in range(outstanding)))

    await load(max(300, burst))
    loop = asyncio.get_running_loop()
    print("ready", flush=True)
    while (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        latencies.clear()
        before = cpu_s(cluster)
        await load(burst)
        took = (cpu_s(cluster) - before) / burst
        print(took * 1e6, sorted(latencies)[len(latencies) // 2] * 1e6, flush=True)
    await client.close()


class Contender:
    """A checkout's own process, with a cluster of its own."""

    def __init__(self, checkout: Path, arguments: list[str]) -> None:
        environment = {**os.environ, "PYTHONPATH": f"{checkout / 'src'}{os.pathsep}{checkout / 'bench'}"}
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve", *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise SystemExit("a contender without pipes")
        self._to, self._from = self._process.stdin, self._process.stdout
        self.bursts: list[tuple[float, float]] = []
        self._hear()

    def run(self) -> None:
        self._say("go\n")
        cpu, latency = self._hear().split()
        self.bursts.append((float(cpu), float(latency)))

    def stop(self) -> None:
        self._say("\n")
        self._process.wait()

    def quantile(self, what: int, per_cent: int) -> float:
        return sorted(burst[what] for burst in self.bursts)[len(self.bursts) * per_cent // 100]

    def _say(self, line: str) -> None:
        self._to.write(line)
        self._to.flush()

    def _hear(self) -> str:
        line = self._from.readline()
        if not line:
            raise SystemExit("a contender ended early; its reason stands above")
        return line


def main() -> None:
    parser = argparse.ArgumentParser(description="Two checkouts in turns.")
    parser.add_argument("checkouts", nargs="*", type=Path)
    parser.add_argument("--form", default="signatures")
    parser.add_argument("--channel", default="tls")
    parser.add_argument("--protocol", default="pbft")
    parser.add_argument("--replicas", type=int, default=4)
    parser.add_argument("--outstanding", type=int, default=1)
    parser.add_argument("--burst", type=int, default=15, help="operations")
    parser.add_argument("--bursts", type=int, default=150, help="of each checkout")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        form, channel = form_named(options.form), channel_named(options.channel)
        with Cluster(memory_folder(), options.replicas, form, channel, protocol=options.protocol) as cluster:
            run_loop(serve_bursts(cluster, options.outstanding, options.burst))
        return
    if len(options.checkouts) != 2:
        parser.error("name two checkouts")
    passed = ["--form", options.form, "--channel", options.channel]
    passed += ["--protocol", options.protocol, "--replicas", str(options.replicas)]
    passed += ["--outstanding", str(options.outstanding), "--burst", str(options.burst)]
    old, new = (Contender(checkout.resolve(), passed) for checkout in options.checkouts)
    for turn in range(options.bursts):
        for contender in (old, new) if turn % 2 else (new, old):
            contender.run()
    for contender in (old, new):
        contender.stop()
    for what, name in enumerate(NAMES):
        print(name)
        for per_cent in QUANTILES:
            first, second = old.quantile(what, per_cent), new.quantile(what, per_cent)
            print(f"  lowest {per_cent:>2} %: {first:9.0f} {second:9.0f}   {second / first:.2f}")


if __name__ == "__main__":
    main()
