"""Whole clusters whose class keeps its dict in a store, under the swarm's faults; and bits that flip in the store."""

from __future__ import annotations

from random import Random

import pytest
from puppet import plan

from outvote import KeyValueStore
from outvote.machines.merkle_image import write_image
from outvote.protocols.catalogue import protocol
from outvote.simulator.swarm import draw
from outvote.simulator.workload import StoreWorkload
from outvote.simulator.world import World
from outvote.types import SECOND


class StoredStore(KeyValueStore, stored=("entries",)):
    """The same answers and the same digests, from the disk."""


class StoredWorkload(StoreWorkload):
    def __init__(self, keys: int, large: int = 0) -> None:
        super().__init__(keys, large)
        self.machine = StoredStore


def test_runs_of_the_swarm_hold_and_crash_and_fetch() -> None:
    marks: dict[str, int] = {}
    for seed in range(40, 45):
        drawn = draw(seed)
        world = World(drawn, protocol("pbft"), workload=StoredWorkload(drawn.keys, drawn.large))
        world.run()
        for mark, count in world.marks.items():
            marks[mark] = marks.get(mark, 0) + count
    assert marks["stable checkpoints"] > 5
    assert marks["crashes"] > 2


@pytest.mark.parametrize("seed", range(2))
def test_bits_that_flip_in_the_store_are_found_and_fetched(seed: int) -> None:
    chosen = plan(operations=160).but(seed=seed, keys=80)
    world = World(chosen, protocol("pbft"), keep_trace=True, workload=StoredWorkload(80))
    world.run()
    victim = world.replicas[2]
    victim.crash()
    assert victim.disk.rot_nodes(Random(seed), 2) > 0
    victim.start()
    victim.disk.state_rotted(0)  # the pointer could be read, what it points to could not
    world.run_until(world.now + 10 * SECOND)
    turns = [replica.turn for replica in world.replicas]
    assert all(turn is not None for turn in turns)
    states = [write_image(turn.executor.checkpoint().state) for turn in turns if turn is not None]
    assert len(dict.fromkeys(states)) == 1
    assert any("nodes of the store are damaged" in line for line in world.trace.lines), "and said so"
