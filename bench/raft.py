"""Raft beside PBFT, and what each flag of Raft is worth: real clusters, TLS and the log on a memory file system.

In turn within each round, so that what else the machine does strikes all alike; trust ratios within one run.

    python bench/raft.py --rounds 3 --seconds 3
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

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
    Setting("raft, pipelining off", flags={"pipelining": 0}),
    Setting("raft, batches off", parameters=Parameters(batch_requests_max=1, pipeline=1)),
    Setting("raft, lease on", flags={"lease": 1}),
    Setting("raft, read index off", flags={"read_index": 0}),
    Setting("raft, pre-vote off", flags={"pre_vote": 0}),
)


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


def measured(setting: Setting, seconds: float) -> dict[str, Any]:
    """One fresh cluster."""
    with Cluster(
        memory_folder(), setting.replicas, protocol=setting.protocol, parameters=setting.parameters, flags=setting.flags
    ) as cluster:
        many = measure(cluster, 64, seconds, 100)
        one = measure(cluster, 1, seconds / 2, 100)
        return {
            "puts_per_s_at_64": many["ops_per_s"], "p50_ms_at_1": one["p50_ms"],
            "gets_per_s_at_64": reads_per_s(cluster, 64, seconds / 2),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--only", type=int, default=len(SETTINGS), help="so many of the settings, from the first")
    parser.add_argument("--json", default="")
    given = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {}
    for _ in range(given.rounds):
        for setting in SETTINGS[: given.only]:
            found.setdefault(setting.name, []).append(measured(setting, given.seconds))
    medians = {
        name: {what: statistics.median(run[what] for run in runs) for what in runs[0]} for name, runs in found.items()
    }
    beside = medians[SETTINGS[0].name]
    print(f"{'':<22} {'put/s at 64':>12} {'of PBFT':>8} {'put p50 ms at 1':>16} {'get/s at 64':>12}")
    for name, one in medians.items():
        ratio = one["puts_per_s_at_64"] / beside["puts_per_s_at_64"]
        print(
            f"{name:<22} {one['puts_per_s_at_64']:>12,.0f} {ratio:>8.2f} {one['p50_ms_at_1']:>16.2f}"
            f" {one['gets_per_s_at_64']:>12,.0f}"
        )
    if given.json:
        Path(given.json).write_text(json.dumps(medians, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
