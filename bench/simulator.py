"""Messages between simulated replicas that one process delivers in a second, checkers and all: n = 4, fixed seeds."""

from __future__ import annotations

import argparse
import time
from typing import Any

from outvote.protocols.catalogue import protocol
from outvote.simulator.checkers.catalogue import CHECKERS
from outvote.simulator.checkers.order import Order
from outvote.simulator.plan import Plan
from outvote.simulator.swarm import draw
from outvote.simulator.world import World
from outvote.types import MILLISECOND, SECOND

SEEDS = tuple(seed for seed in range(200) if draw(seed).n == 4 and not draw(seed).real_seals)[:30]
CALM = Plan(
    n=4, clients=3, operations_each=150, outstanding=3, keys=6, delay_mean=2 * MILLISECOND, sync_max=MILLISECOND,
    parameters={"checkpoint_interval": 16, "window": 32, "batch_requests_max": 1}, faults_end=SECOND,
    deadline=600 * SECOND,
)


def rate(plans: list[Plan], checked: bool = True) -> dict[str, Any]:
    """Delivered messages a second of CPU, over all of these runs."""
    delivered = 0
    begun = time.process_time()
    for plan in plans:
        world = World(plan, protocol("pbft"), checkers=CHECKERS if checked else (Order,))
        world.run()
        delivered += world.delivered
    seconds = time.process_time() - begun
    return {
        "runs": len(plans), "delivered": delivered, "seconds": round(seconds, 2),
        "delivered_per_s": round(delivered / seconds),
    }


def measure() -> dict[str, dict[str, Any]]:
    """Runs as seeds draw them, with every fault and lie; and runs without any, with and without the checkers."""
    calm = [CALM.but(seed=seed) for seed in range(5)]
    return {
        "as drawn": rate([draw(seed) for seed in SEEDS]),
        "calm": rate(calm),
        "calm, agreement checked only": rate(calm, checked=False),
    }


def show(found: dict[str, dict[str, Any]]) -> None:
    for name, row in found.items():
        print(
            f"simulator, {name}: {row['delivered_per_s']} delivered messages/s of CPU"
            f" ({row['delivered']} in {row['runs']} runs)"
        )


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    show(measure())
