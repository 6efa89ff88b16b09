"""Throughput while a lying primary keeps its proposals back (I21): how much is left of what a calm cluster does.

    python bench/slow_primary.py [--protocol pbft] [--operations 200]

Measured in the simulator's virtual time, so it does not depend on this machine: messages take 1 to 3 ms, clients wait
for answers. The goal is at least half of the calm throughput; the number is what it is.
"""

from __future__ import annotations

import argparse

from outvote.protocols.catalogue import protocol
from outvote.simulator.plan import Plan
from outvote.simulator.world import World
from outvote.types import MILLISECOND, SECOND

VIEW_TIMEOUT_MS = 1000
SHARES_OF_TIMEOUT = (0.0, 0.1, 0.5, 0.9, 1.5)


def operations_a_second(name: str, share: float, operations: int) -> tuple[float, int]:
    """With a primary that keeps back proposals for this share of the view timeout; and the highest view reached."""
    slow = f"slow-proposals:{int(share * VIEW_TIMEOUT_MS)}"
    plan = Plan(
        n=4, clients=4, operations_each=operations, outstanding=8, keys=4, delay_mean=MILLISECOND, faults_end=1,
        parameters={"view_timeout_ms": VIEW_TIMEOUT_MS}, liars=((0, (slow,)),), deadline=3600 * SECOND,
    )
    world = World(plan, protocol(name))
    world.run()
    views = [one.turn.core.standing().view for one in world.replicas if one.turn is not None]
    return 4 * operations * SECOND / world.now, max(views)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--protocol", default="pbft")
    parser.add_argument("--operations", type=int, default=200, help="of each of 4 clients")
    chosen = parser.parse_args()
    calm = 0.0
    print(f"{'kept back':>12}  {'operations/s':>12}  {'of calm':>8}  {'views':>5}")
    for share in SHARES_OF_TIMEOUT:
        speed, view = operations_a_second(chosen.protocol, share, chosen.operations)
        calm = calm or speed
        print(f"{share * VIEW_TIMEOUT_MS:>9.0f} ms  {speed:>12.1f}  {speed / calm:>8.1%}  {view:>5}")


if __name__ == "__main__":
    main()
