"""Throughput while a lying primary keeps its proposals back (I21): how much is left of what a calm cluster does.

    python bench/slow_primary.py [--protocol pbft] [--operations 10000]

Measured in the simulator's virtual time, so it does not depend on this machine: messages take 1 to 3 ms, clients wait
for answers. The first share is of the whole run, with the time that it takes to find the primary out; the second of
the last half of the operations. The goal is at least half of the calm throughput, and 90 % is the aim. The last line is
of a backup that says everything 900 ms late: without it a quorum needs all of the others, and that is all it costs.
"""

from __future__ import annotations

import argparse

from outvote.protocols.catalogue import protocol
from outvote.simulator.plan import Plan
from outvote.simulator.world import World
from outvote.types import MILLISECOND, SECOND, ReplicaId

Liars = tuple[tuple[ReplicaId, tuple[str, ...]], ...]

VIEW_TIMEOUT_MS = 1000
DELAYS_MS = (0, 2, 5, 10, 20, 50, 100, 500, 900, 1500)
CLIENTS = 4
SLOW_REPLICA = ((3, ("slow:900",)),)  # does not lead


def operations_a_second(name: str, liars: Liars, operations: int) -> tuple[float, float, int]:
    """Of the whole run, of its last half; and the highest view."""
    plan = Plan(
        n=4, clients=CLIENTS, operations_each=operations, outstanding=8, keys=4, delay_mean=MILLISECOND, faults_end=1,
        parameters={"view_timeout_ms": VIEW_TIMEOUT_MS}, liars=liars, deadline=3600 * SECOND,
    )
    world = World(plan, protocol(name), checkers=())
    world.run()
    views = [one.turn.core.standing().view for one in world.replicas if one.turn is not None]
    answered = sorted(one.returned for client in world.clients for _, one in client.history if one.returned is not None)
    half = len(answered) // 2
    late = (len(answered) - half) * SECOND / (answered[-1] - answered[half - 1])
    return CLIENTS * operations * SECOND / world.now, late, max(views)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--protocol", default="pbft")
    parser.add_argument("--operations", type=int, default=10_000, help="of each of 4 clients")
    chosen = parser.parse_args()
    calm = calm_late = 0.0
    print(f"{'kept back':>9}  {'operations/s':>12}  {'of calm':>8}  {'last half':>9}  {'views':>5}")
    rows: list[tuple[str, Liars]] = [(f"{delay} ms", ((0, (f"slow-proposals:{delay}",)),)) for delay in DELAYS_MS]
    for label, liars in (*rows, ("a backup", SLOW_REPLICA)):
        speed, late, view = operations_a_second(chosen.protocol, liars, chosen.operations)
        calm, calm_late = calm or speed, calm_late or late
        shares = f"{speed / calm:>8.1%}  {late / calm_late:>9.1%}"
        print(f"{label:>9}  {speed:>12.1f}  {shares}  {view:>5}", flush=True)


if __name__ == "__main__":
    main()
