"""Bits flip in the states on one replica's disk while it is down: it comes back, finds the leaves and fetches those.

Passes if only what was damaged is fetched, and everybody has the same state afterwards.
"""

from __future__ import annotations

from random import Random

import pytest
from puppet import plan

from outvote.machines.merkle_image import read_image, write_image
from outvote.machines.merkle_map import RECORD_HEAD_BYTES
from outvote.protocols.catalogue import protocol
from outvote.simulator.disk import SimulatedDisk
from outvote.simulator.world import World
from outvote.storage.snapshots import HEADER_BYTES
from outvote.types import SECOND


def rot_leaves(disk: SimulatedDisk, rng: Random, count: int) -> None:
    """One bit of the value of each of some leaves, in every snapshot that the disk holds."""
    for generation, data in disk._snapshots.items():
        header, image = data[:HEADER_BYTES], bytearray(data[HEADER_BYTES:])
        leaves = list(read_image(bytes(image)).leaves())
        for leaf in rng.sample(leaves, min(count, len(leaves))):
            image[image.index(leaf.record) + RECORD_HEAD_BYTES + len(leaf.key)] ^= 1 << rng.randrange(8)
        disk._snapshots[generation] = header + bytes(image)
    disk.state_rotted(0)


def world_with_rot(seed: int, count: int) -> World:
    chosen = plan(operations=160).but(seed=seed, keys=80)
    world = World(chosen, protocol("pbft"), keep_trace=True)
    world.run()
    victim = world.replicas[2]
    victim.crash()
    rot_leaves(victim.disk, Random(seed), count)
    victim.start()
    world.run_until(world.now + 10 * SECOND)
    return world


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", [1, 5])
def test_only_the_damaged_leaves_are_fetched(seed: int, count: int) -> None:
    world = world_with_rot(seed, count)
    turns = [replica.turn for replica in world.replicas]
    counters = turns[2].counters  # type: ignore[union-attr]
    assert counters["states_fetched"] == 1
    assert 1 <= counters["leaves_fetched"] <= count + 1, "and a leaf that a whole subtree of one or two brings along"
    states = [write_image(turn.executor.checkpoint().state) for turn in turns]  # type: ignore[union-attr]
    assert len(dict.fromkeys(states)) == 1
    assert len(turns[2].executor.saved) > 50  # type: ignore[union-attr]
    assert any("leaves of the state" in line for line in world.trace.lines), "and said so"
