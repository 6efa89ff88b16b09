"""HoneyBadger on a real cluster: operations a second against the batch, and where the CPU time goes.

Four replica processes with BLS12-381 keys, TLS and the log on a memory file system; closed loops of one client, so a
batch has as many operations as are outstanding. Crypto is timed in the replicas themselves, by threads' CPU time.

    python bench/honeybadger.py --outstanding 64 256 1024 4096 --seconds 8
    python bench/honeybadger.py --here                 without worker processes: what share cryptography has
    python bench/honeybadger.py --profile 1024         the functions that take most of replica 0's time

Beside it the protocol without a cluster: what one epoch of n replicas costs in the simulator, in messages and seconds.

    python bench/honeybadger.py --simulated 4 7 16 32
"""

from __future__ import annotations

import argparse
import json
import signal
import time
from pathlib import Path
from typing import Any, Final

from cluster import Cluster, measure
from outvote.configuration.genesis import Parameters
from outvote.protocols.catalogue import protocol
from outvote.simulator.plan import Plan
from outvote.simulator.world import World
from outvote.types import MILLISECOND, NEVER, SECOND
from run import memory_folder

# What a replica of this bench runs: the usual one, with each call of threshold cryptography timed, and told at its end.
TIMED: Final = """
import atexit, functools, json, pathlib, signal, sys, time
from outvote.cli import serve
from outvote.crypto import threshold
if HERE:
    serve.CORES_FOR_A_WORKER = 1 << 30
spent, calls = {}, {}
def timed(kind, name):
    call = getattr(kind, name)
    key = kind.__name__.removeprefix("Threshold").lower() + " " + name
    @functools.wraps(call)
    def timing(*arguments):
        began = time.thread_time()
        try:
            return call(*arguments)
        finally:
            spent[key] = spent.get(key, 0.0) + time.thread_time() - began
            calls[key] = calls.get(key, 0) + 1
    setattr(kind, name, timing)
for name in ("share", "verifies", "combine"):
    timed(threshold.ThresholdCoin, name)
for name in ("encrypt", "checks", "share", "verifies", "combine"):
    timed(threshold.ThresholdEncryption, name)
report = pathlib.Path(sys.argv[1]).parent / f"crypto-{sys.argv[2]}.json"
profiler = None
if PROFILED and sys.argv[2] == "0":
    import cProfile
    profiler = cProfile.Profile()
    profiler.enable()
def tell():
    report.write_text(json.dumps({"spent": spent, "calls": calls, "cpu": time.process_time()}))
    if profiler:
        profiler.disable()
        profiler.dump_stats(report.with_suffix(".profile"))
atexit.register(tell)
serve.run_replica(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
"""


def run(
    outstanding: int, seconds: float, parameters: Parameters, profiled: bool = False, here: bool = False
) -> dict[str, Any]:
    """One fresh cluster under one load. `here`: cryptography in the replicas' own processes, where it is timed."""
    folder = memory_folder()
    serve = TIMED.replace("PROFILED", str(profiled)).replace("HERE", str(here))
    with Cluster(
        folder, protocol="honeybadger", parameters=parameters, serve=serve
    ) as cluster:
        found = measure(cluster, outstanding, seconds, 100, warm_up=3)
        found["memory_mib"] = max(cluster.memory_mib())
        for process in cluster.processes:
            process.send_signal(signal.SIGTERM)
        for process in cluster.processes:
            process.wait()
        told = [json.loads((cluster.directory.parent / f"crypto-{one}.json").read_text()) for one in range(4)]
        if profiled:
            import pstats

            profile = cluster.directory.parent / "crypto-0.profile"
            pstats.Stats(str(profile)).sort_stats("tottime").print_stats(30)
    cpu = sum(one["cpu"] for one in told)
    crypto = sum(sum(one["spent"].values()) for one in told)
    found["crypto_share"] = round(crypto / cpu, 3)
    found["crypto_ms"] = {
        name: round(sum(one["spent"].get(name, 0.0) for one in told) * 1e3) for name in sorted(told[0]["spent"])
    }
    found["crypto_calls"] = {name: sum(one["calls"].get(name, 0) for one in told) for name in sorted(told[0]["calls"])}
    return found


def simulated(n: int, epochs: int) -> dict[str, Any]:
    """`epochs` epochs of n replicas with the stand-in, one request each, over a network that takes a millisecond."""
    plan = Plan(n=n, clients=1, delay_min=MILLISECOND, faults_end=NEVER, deadline=NEVER)
    world = World(plan, protocol("honeybadger"))
    began = time.process_time()
    world.start()
    for number in range(epochs):
        world.call(0, [("put", ("a", str(number)))])
        world.run_until((number + 1) * SECOND // 4)  # before anybody asks for what was lost
    spent = time.process_time() - began
    counters = [replica.turn.counters for replica in world.replicas if replica.turn is not None]
    done = min(one["delivered"] for one in counters)
    messages = {
        kind: sum(one.get(f"{kind}_sent", 0) for one in counters) / done
        for kind in ("Broadcasting", "Agreeing", "Decrypting")
    }
    return {"n": n, "epochs": done, "s_per_epoch": round(spent / done, 3), **messages}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outstanding", type=int, nargs="*", default=[64, 256, 1024, 2048])
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--pipeline", type=int, default=2)
    parser.add_argument("--here", action="store_true", help="no worker processes; tells the share of cryptography")
    parser.add_argument("--profile", type=int, default=0, metavar="OUTSTANDING")
    parser.add_argument("--simulated", type=int, nargs="*", default=[], metavar="N")
    parser.add_argument("--json", default="")
    given = parser.parse_args()
    parameters = Parameters(pipeline=given.pipeline)
    if given.profile:
        run(given.profile, given.seconds, parameters, profiled=True, here=True)
        return
    found: list[dict[str, Any]] = []
    if given.simulated:
        print(f"{'n':>3} {'epochs':>6} {'s/epoch':>8} {'broadcast':>10} {'agreement':>10} {'decryption':>10}")
        for n in given.simulated:
            one = simulated(n, 3 if n < 20 else 1)
            found.append(one)
            print(f"{n:>3} {one['epochs']:>6} {one['s_per_epoch']:>8} {one['Broadcasting']:>10,.0f}"
                  f" {one['Agreeing']:>10,.0f} {one['Decrypting']:>10,.0f}", flush=True)
    else:
        print(f"{'outstanding':>11} {'op/s':>7} {'p50 ms':>8} {'p99 ms':>8} {'crypto':>7} {'MiB':>6}")
        for outstanding in given.outstanding:
            one = run(outstanding, given.seconds, parameters, here=given.here)
            found.append(one)
            print(f"{outstanding:>11} {one['ops_per_s']:>7,} {one['p50_ms']:>8,.0f} {one['p99_ms']:>8,.0f}"
                  f" {one['crypto_share']:>6.0%} {one['memory_mib']:>6.0f}", flush=True)
    if given.json:
        Path(given.json).write_text(json.dumps(found, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
