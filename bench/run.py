"""`make bench`: a real cluster beside the floor, in turn, and what share of the floor it reaches.

The floor (floor.py) is the bare normal case as fast as plain Python was made to run it: no TLS, disk, signatures or
view change. The cluster has all of them; its log lies on a memory file system so that disk noise stays out, and one
more line shows the real disk. The last lines are the speed of the simulator. Trust ratios within one run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import floor
import simulator
from cluster import Cluster, measure
from outvote import __version__
from outvote.configuration.genesis import ChannelKind, Form, channel_named, form_named
from outvote.observe.surroundings import is_compiled

SETTINGS = (1, 64, 512)
MEMORY_OPERATIONS = 100_000
MEMORY_WARM_UP = 400_000  # some 3000 decisions: then the bounded memories (seals, evidence, snapshots) are full
MEMORY_FOLDERS = ("/dev/shm",)  # noqa: S108 - the memory file system of Linux


def memory_folder() -> Path | None:
    """A directory on a memory file system, if this machine has one."""
    for name in MEMORY_FOLDERS:
        if Path(name).is_dir():
            return Path(name)
    return None


def compare(
    rounds: int, seconds: float, value_bytes: int, settings: Sequence[int], kind: tuple[Form, ChannelKind]
) -> dict[int, dict[str, list[dict[str, Any]]]]:
    """Floor and cluster in turn, `rounds` times each setting."""
    found: dict[int, dict[str, list[dict[str, Any]]]] = {one: {"floor": [], "outvote": []} for one in settings}
    for _ in range(rounds):
        for outstanding in settings:
            found[outstanding]["floor"].append(
                floor.run(n=4, outstanding=outstanding, seconds=seconds, value_bytes=value_bytes)
            )
            with Cluster(memory_folder(), 4, *kind) as cluster:
                found[outstanding]["outvote"].append(measure(cluster, outstanding, seconds, value_bytes))
    return found


def median(runs: list[dict[str, Any]], name: str) -> float:
    return float(statistics.median(run[name] for run in runs))


def print_comparison(found: dict[int, dict[str, list[dict[str, Any]]]]) -> list[dict[str, Any]]:
    """One line a setting: medians, the share of the floor's operations per second, and the multiples of its latency and
    of the CPU time of all five processes for one operation, which other work on the machine disturbs least."""
    rows = []
    print(
        f"{'outstanding':>11} {'floor op/s':>11} {'outvote op/s':>13} {'share':>6}"
        f" {'floor p50':>10} {'outvote p50':>12} {'times':>6} {'floor CPU':>11} {'outvote CPU':>12} {'times':>6}"
    )
    for outstanding, runs in found.items():
        row = {
            "outstanding": outstanding,
            "floor_ops_per_s": median(runs["floor"], "ops_per_s"),
            "outvote_ops_per_s": median(runs["outvote"], "ops_per_s"),
            "floor_p50_ms": median(runs["floor"], "p50_ms"),
            "outvote_p50_ms": median(runs["outvote"], "p50_ms"),
        }
        row["share"] = round(row["outvote_ops_per_s"] / row["floor_ops_per_s"], 3)
        row["floor_cpu_us_per_op"] = statistics.median(
            run["client_cpu_us_per_op"] + sum(run["replica_cpu_us_per_op"]) for run in runs["floor"]
        )
        row["outvote_cpu_us_per_op"] = statistics.median(
            run["client_cpu_us_per_op"] + run["replicas_cpu_us_per_op"] for run in runs["outvote"]
        )
        row["times_cpu"] = round(row["outvote_cpu_us_per_op"] / row["floor_cpu_us_per_op"], 2)
        row["times_latency"] = round(row["outvote_p50_ms"] / row["floor_p50_ms"], 2)
        rows.append(row)
        print(
            f"{outstanding:>11} {row['floor_ops_per_s']:>11.0f} {row['outvote_ops_per_s']:>13.0f} {row['share']:>6}"
            f" {row['floor_p50_ms']:>8.2f}ms {row['outvote_p50_ms']:>10.2f}ms {row['times_latency']:>6}"
            f" {row['floor_cpu_us_per_op']:>9.0f}us {row['outvote_cpu_us_per_op']:>10.0f}us {row['times_cpu']:>6}"
        )
    return rows


def real_disk(seconds: float, value_bytes: int) -> dict[str, Any]:
    """The same cluster with its log on this directory's disk."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder, Cluster(Path(folder)) as cluster:
        return measure(cluster, 64, seconds, value_bytes)


def memory(value_bytes: int, operations: int) -> tuple[list[float], list[float]]:
    """Resident memory of each replica after a warm-up, and after `operations` more."""
    with Cluster(memory_folder()) as cluster:
        measure(cluster, 512, 600, value_bytes, operations=MEMORY_WARM_UP)
        before = cluster.memory_mib()
        measure(cluster, 512, 600, value_bytes, operations=operations)
        return before, cluster.memory_mib()


def main() -> None:
    parser = argparse.ArgumentParser(description="A real cluster beside the floor.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--value-bytes", type=int, default=100)
    parser.add_argument("--json", type=Path, help="also write every run here")
    parser.add_argument("--only-simulator", action="store_true", help="only how many messages the simulator delivers")
    parser.add_argument("--form", default="signatures", help="signatures or authenticators")
    parser.add_argument("--channel", default="tls", help="tls or plain")
    parser.add_argument("--outstanding", type=int, nargs="+", default=SETTINGS, help="operations under way at once")
    parser.add_argument("--only-comparison", action="store_true", help="only the cluster beside the floor")
    options = parser.parse_args()
    if options.only_simulator:
        simulator.show(simulator.measure())
        return
    kind = (form_named(options.form), channel_named(options.channel))
    print(f"Python {platform.python_version()} on {platform.machine()}; n = 4, values of {options.value_bytes} bytes")
    print(f"outvote {__version__}, {'compiled' if is_compiled() else 'not compiled'}")
    print(f"form {kind[0]}, channel {kind[1]}; load average before: {os.getloadavg()[0]:.1f}")
    found = compare(options.rounds, options.seconds, options.value_bytes, options.outstanding, kind)
    rows = print_comparison(found)
    if options.only_comparison:
        return
    disk = real_disk(options.seconds, options.value_bytes)
    print(f"log on the real disk, 64 outstanding: {disk['ops_per_s']} op/s, p50 {disk['p50_ms']} ms")
    before, after = memory(options.value_bytes, MEMORY_OPERATIONS)
    print(f"memory per replica, MiB, before and after {MEMORY_OPERATIONS} operations: {before} {after}")
    simulated = simulator.measure()
    simulator.show(simulated)
    if options.json:
        summary = {
            "rows": rows, "runs": found, "disk": disk, "memory_before": before, "memory_after": after,
            "simulator": simulated,
        }
        options.json.write_text(json.dumps(summary, indent=1) + "\n")


if __name__ == "__main__":
    main()
