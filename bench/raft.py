"""Raft beside PBFT, and what each flag of Raft is worth, on and off: real clusters, TLS and a durable log.

In turn within each round, so that what else the machine does strikes all alike; trust ratios within one run.

    python bench/raft.py --rounds 3 --seconds 3
    python bench/raft.py --only 2 --etcd /usr/bin/etcd --where disk

`--etcd`: three members of it beside ours (crash faults, no TLS), and bench/etcd_client as their client, built with Go.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import etcd
from cluster import Cluster, measure, patient
from outvote import Client, KeyValueStore
from outvote.cli.serve import run_loop
from outvote.configuration.genesis import Parameters
from run import memory_folder


class Setting(NamedTuple):
    """One cluster to be measured."""

    name: str
    protocol: str = "raft"
    replicas: int = 3
    parameters: Parameters = Parameters()
    flags: Mapping[str, int] = {}


SETTINGS: Final = (
    Setting("pbft, n = 4", "pbft", 4),
    Setting("raft, n = 3"),
    Setting("pipelining off", flags={"pipelining": 0}),
    Setting("batches off", parameters=Parameters(batch_requests_max=1, pipeline=1)),
    Setting("lease on", flags={"lease": 1}),
    Setting("read_index off", flags={"read_index": 0}),
    Setting("pre_vote off", flags={"pre_vote": 0}),
    Setting("check_quorum off", flags={"check_quorum": 0}),
    Setting("repair off", flags={"repair": 0}),
    Setting("one a witness", flags={"witnesses": 4}),
    Setting("and one a learner", replicas=4, flags={"learners": 8}),
)
COLUMNS: Final = (
    ("puts_per_s_at_64", "put/s at 64", 0), ("cpu_us_a_put_at_64", "CPU us a put", 0),
    ("p50_ms_at_1", "put p50 ms at 1", 2), ("gets_per_s_at_64", "get/s at 64", 0),
)
WARM_UP_S: Final = 0.5
PLAIN: Final = 1  # the setting that the others are compared with


async def _reads(cluster: Cluster, outstanding: int, seconds: float) -> float:
    """Queries a second."""
    done = 0
    async with await Client.connect(cluster.directory, machine=KeyValueStore, config=patient()) as client:
        await client.call("put", "key", "value")
        stop = time.monotonic() + seconds

        async def closed_loop() -> None:
            nonlocal done
            while time.monotonic() < stop:
                await client.call("get", "key")
                done += 1

        await asyncio.gather(*(closed_loop() for _ in range(outstanding)))
    return done / seconds


def reads_per_s(cluster: Cluster, outstanding: int, seconds: float) -> float:
    found: list[float] = []

    async def main() -> None:
        found.append(await _reads(cluster, outstanding, seconds))

    run_loop(main())
    return found[0]


def measured(setting: Setting, seconds: float, where: Path) -> dict[str, Any]:
    """One fresh cluster."""
    with Cluster(
        where, setting.replicas, protocol=setting.protocol, parameters=setting.parameters, flags=setting.flags
    ) as cluster:
        measure(cluster, 64, WARM_UP_S, 100)
        before = cluster.cpu_s()
        many = measure(cluster, 64, seconds, 100)
        cpu_us = 1e6 * (cluster.cpu_s() - before) / (many["ops_per_s"] * seconds)
        one = measure(cluster, 1, seconds / 2, 100)
        return {
            "puts_per_s_at_64": many["ops_per_s"], "cpu_us_a_put_at_64": cpu_us, "p50_ms_at_1": one["p50_ms"],
            "gets_per_s_at_64": reads_per_s(cluster, 64, seconds / 2),
        }


def show(medians: Mapping[str, Mapping[str, float]], plain: str) -> None:
    """Each figure, and how many times the one of plain Raft it is. Processor time is that of all replicas together: it
    varies least where the machine has other work."""
    print(f"{'':<20} " + " ".join(f"{heading:>18}" for _, heading, _ in COLUMNS))
    for name, one in medians.items():
        cells = []
        for what, _, digits in COLUMNS:
            figure = one.get(what)
            ratio = "" if figure is None else f"{figure:,.{digits}f} ({figure / medians[plain][what]:.2f})"
            cells.append(f"{ratio:>18}")
        print(f"{name:<20} {' '.join(cells)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--only", type=int, default=len(SETTINGS), help="so many of the settings, from the first")
    parser.add_argument("--where", choices=("memory", "disk"), default="memory", help="where the logs lie")
    parser.add_argument("--etcd", default="", help="the etcd to compare with")
    parser.add_argument("--json", default="")
    given = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="outvote-bench-") as disk:
        where = Path(disk) if given.where == "disk" else memory_folder() or Path(disk)
        client = etcd.build_client(Path(disk)) if given.etcd else Path()
        for _ in range(given.rounds):
            for setting in SETTINGS[: max(given.only, PLAIN + 1)]:
                found.setdefault(setting.name, []).append(measured(setting, given.seconds, where))
            if given.etcd:
                found.setdefault("etcd, n = 3", []).append(etcd.measured(given.etcd, client, where, given.seconds))
    medians = {
        name: {what: statistics.median(run[what] for run in runs) for what in runs[0]} for name, runs in found.items()
    }
    print(f"log: {given.where}; median of {given.rounds}; in brackets how many times that of {SETTINGS[PLAIN].name}")
    show(medians, SETTINGS[PLAIN].name)
    if given.json:
        Path(given.json).write_text(json.dumps(medians, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
