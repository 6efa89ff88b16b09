"""HoneyBadger on a real cluster: operations a second against the batch, and where the CPU time goes.

Four replica processes with BLS12-381 keys, TLS and the log on a memory file system; closed loops of one client, so a
batch has as many operations as are outstanding. What cryptography takes is its calls, counted, times what one costs.

    python bench/honeybadger.py --outstanding 64 256 1024 4096 --seconds 8
    python bench/honeybadger.py --here                 without worker processes: what share cryptography has
    python bench/honeybadger.py --profile 1024         the functions that take most of replica 0's time

Beside it the protocol without a cluster: what epochs of n replicas cost in the simulator, in messages, rounds of
agreement and seconds, and how many different requests they have; each beside what the formulas say.

    python bench/honeybadger.py --simulated 4 7 16 32

And how long an operation takes over a wide area, beside PBFT, in simulated time: messages take 50 ms, and what
jitter adds (heavy-tailed).

    python bench/honeybadger.py --jitter-ms 0 50 500
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import epochs
from cluster import Cluster, measure
from outvote.configuration.genesis import Parameters
from outvote.protocols.catalogue import protocol
from outvote.simulator.plan import Plan
from outvote.simulator.world import World
from outvote.types import MILLISECOND, NEVER, SECOND
from run import memory_folder

# What a replica of this bench runs: the usual one; its calls of threshold cryptography are counted and told at its end.
# (To time each would take a system call or two more, and on some machines those cost as much as a pairing.)
COUNTED: Final = """
import atexit, functools, json, pathlib, sys, time
from outvote.cli import serve
from outvote.crypto import threshold
if HERE:
    serve.CORES_FOR_A_WORKER = 1 << 30
calls = {}
def count(kind, name, key):
    call = getattr(kind, name)
    @functools.wraps(call)
    def counting(*arguments):
        calls[key] = calls.get(key, 0) + 1
        return call(*arguments)
    setattr(kind, name, counting)
count(threshold.Keys, "right", "verify a share")
count(threshold.ThresholdCoin, "share", "share of a coin")
count(threshold.ThresholdCoin, "combine", "combine a coin")
count(threshold.ThresholdEncryption, "encrypt", "encrypt")
count(threshold.ThresholdEncryption, "share", "check a proof, share")
count(threshold.ThresholdEncryption, "combine", "open")
report = pathlib.Path(sys.argv[1]).parent / f"crypto-{sys.argv[2]}.json"
profiler = None
if PROFILED and sys.argv[2] == "0":
    import cProfile
    profiler = cProfile.Profile()
    profiler.enable()
def tell():
    report.write_text(json.dumps({"calls": calls, "cpu": time.process_time()}))
    if profiler:
        profiler.disable()
        profiler.dump_stats(report.with_suffix(".profile"))
atexit.register(tell)
serve.run_replica(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
"""


def unit_costs_s(batch_bytes: int = 10_000) -> dict[str, float]:
    """CPU seconds of each call, on this machine, now."""
    from outvote.crypto import threshold

    public, secrets = threshold.deal(4, 2, bytes(threshold.SECRET_BYTES))
    keys = [threshold.Keys(public, me, secrets[me]) for me in range(4)]
    coins = [threshold.ThresholdCoin(one) for one in keys]
    systems = [threshold.ThresholdEncryption(one) for one in keys]
    ciphertext = systems[0].encrypt(b"label", bytes(batch_bytes), bytes(32))
    shares = {one: coins[one].share(b"name") for one in (0, 1)}
    opening = {one: systems[one].share(b"label", ciphertext) for one in (0, 1)}
    calls: dict[str, Callable[[int], object]] = {
        "verify a share": lambda _: coins[0].verifies(b"name", 1, shares[1]),
        "share of a coin": lambda turn: coins[0].share(b"name %d" % turn),
        "combine a coin": lambda _: coins[0].combine(b"name", shares),
        "encrypt": lambda _: systems[0].encrypt(b"label", bytes(batch_bytes), bytes(32)),
        "check a proof, share": lambda _: threshold.ThresholdEncryption(keys[0]).share(b"label", ciphertext),
        "open": lambda _: systems[0].combine(b"label", ciphertext, opening),
    }
    found = {}
    for name, call in calls.items():
        began = time.process_time()
        for turn in range(40):
            call(turn)
        found[name] = (time.process_time() - began) / 40
    return found


def run(
    outstanding: int, seconds: float, parameters: Parameters, profiled: bool = False, here: bool = False
) -> dict[str, Any]:
    """One fresh cluster under one load. `here`: cryptography in the replicas' own processes, where it is counted."""
    folder = memory_folder()
    serve = COUNTED.replace("PROFILED", str(profiled)).replace("HERE", str(here))
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
    costs = unit_costs_s() if here else {}
    calls = {name: sum(one["calls"].get(name, 0) for one in told) for name in costs}
    found["crypto_calls"] = calls
    found["crypto_us_a_call"] = {name: round(cost * 1e6) for name, cost in costs.items()}
    spent = sum(costs[name] * calls[name] for name in costs)
    found["crypto_share"] = round(spent / sum(one["cpu"] for one in told), 3)
    return found


def simulated(n: int, count: int) -> dict[str, Any]:
    """`count` epochs of n replicas with the stand-in, and what the formulas say: each figure with what is expected."""
    began = time.process_time()
    world = epochs.ran(n, count)
    spent = time.process_time() - began
    tossed = epochs.rounds(world)
    every = [one for epoch in tossed for one in epoch]
    different = epochs.different_requests(n, 60)
    return {
        "n": n, "epochs": count, "s_per_epoch": round(spent / count, 3),
        "broadcasts": (epochs.sent(world, "Broadcasting"), count * epochs.broadcasts_expected(n)),
        "agreements": (epochs.sent(world, "Agreeing"), epochs.agreements_expected(n, tossed)),
        "openings": (epochs.sent(world, "Decrypting"), count * epochs.openings_expected(n)),
        "rounds": (sum(every) / len(every), 2),
        "slowest": (sum(map(max, tossed)) / count, epochs.slowest_expected(n)),
        "different": (sum(different) / len(different), epochs.different_expected(n)),
    }


def print_simulated(sizes: Sequence[int]) -> list[dict[str, Any]]:
    """Messages of all epochs together; rounds of agreements, and of an epoch's slowest; different requests an epoch."""
    found = []
    for n in sizes:
        one = simulated(n, 60 if n < 7 else 10 if n < 16 else 1)
        found.append(one)
        print(f"n = {n}, {one['epochs']} epochs, {one['s_per_epoch']} s of CPU each")
        for name in ("broadcasts", "agreements", "openings", "rounds", "slowest", "different"):
            measured, expected = one[name]
            digits = 0 if isinstance(measured, int) else 2
            print(f"  {name:<10} {measured:>12,.{digits}f}   expected {expected:>12,.{digits}f}", flush=True)
    return found


def latency_ms(name: str, jitter_ms: int, seconds: int = 120) -> tuple[float, int]:
    """The median, and how many were answered in so much simulated time: three clients, one operation at a time each."""
    plan = Plan(
        n=4, clients=3, operations_each=1000, delay_min=50 * MILLISECOND, delay_mean=jitter_ms * MILLISECOND,
        heavy_tail=True, client_retry=5 * SECOND, faults_end=NEVER, deadline=NEVER,
    )
    world = World(plan, protocol(name))
    world.start()
    world.run_until(seconds * SECOND)
    took = [
        (entry.returned - entry.call) / MILLISECOND
        for client in world.clients for _, entry in client.history if entry.returned is not None
    ]
    return statistics.median(took) if took else float("nan"), len(took)


def print_latencies(jitters_ms: Sequence[int]) -> None:
    print(f"{'jitter ms':>9} {'pbft p50 ms':>12} {'answers':>8} {'honeybadger p50 ms':>19} {'answers':>8}")
    for jitter_ms in jitters_ms:
        leading, leaderless = (latency_ms(name, jitter_ms) for name in ("pbft", "honeybadger"))
        print(f"{jitter_ms:>9} {leading[0]:>12,.0f} {leading[1]:>8,} {leaderless[0]:>19,.0f} {leaderless[1]:>8,}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outstanding", type=int, nargs="*", default=[64, 256, 1024, 2048])
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--pipeline", type=int, default=2)
    parser.add_argument("--here", action="store_true", help="no worker processes; tells the share of cryptography")
    parser.add_argument("--profile", type=int, default=0, metavar="OUTSTANDING")
    parser.add_argument("--simulated", type=int, nargs="*", default=[], metavar="N")
    parser.add_argument("--jitter-ms", type=int, nargs="*", default=[], metavar="MS")
    parser.add_argument("--json", default="")
    given = parser.parse_args()
    parameters = Parameters(pipeline=given.pipeline)
    if given.jitter_ms:
        print_latencies(given.jitter_ms)
        return
    if given.profile:
        run(given.profile, given.seconds, parameters, profiled=True, here=True)
        return
    found: list[dict[str, Any]] = []
    if given.simulated:
        found = print_simulated(given.simulated)
    else:
        print(f"{'outstanding':>11} {'op/s':>7} {'p50 ms':>8} {'p99 ms':>8} {'MiB':>6} {'crypto of CPU':>14}")
        for outstanding in given.outstanding:
            one = run(outstanding, given.seconds, parameters, here=given.here)
            found.append(one)
            print(f"{outstanding:>11} {one['ops_per_s']:>7,} {one['p50_ms']:>8,.0f} {one['p99_ms']:>8,.0f}"
                  f" {one['memory_mib']:>6.0f} {one['crypto_share'] or '':>14}", flush=True)
    if given.json:
        Path(given.json).write_text(json.dumps(found, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
