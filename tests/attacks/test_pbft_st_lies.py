"""A source of a state transfer sends wrong leaves and nodes.

Passes if the state is verified against its certificate and fetched from somebody else.
"""

from __future__ import annotations

import pytest
from puppet import plan, state_of

from outvote.protocols.catalogue import protocol
from outvote.simulator.plan import Fault
from outvote.simulator.world import World
from outvote.types import SECOND, ReplicaId


def dark(replica: ReplicaId, end: int) -> list[Fault]:
    others_of = [other for other in range(4) if other != replica]
    pairs = [(replica, other) for other in others_of] + [(other, replica) for other in others_of]
    faults = [Fault(0, "cut", a, b) for a, b in pairs]
    return faults + [Fault(end, "heal", a, b) for a, b in pairs]


def attack_on_transfer(liar: ReplicaId, seed: int) -> World:
    """Replica 2 misses three checkpoints and fetches the state; one of the sources spoils what it sends. (0 is asked
    for the root first, 1 for the nodes below it.)"""
    chosen = plan(operations=16, liars=((liar, ("spoil-transfers",)),), faults=dark(2, SECOND), faults_end=SECOND)
    world = World(chosen.but(seed=seed, pause_max=SECOND // 8), protocol("pbft"), keep_trace=True)
    world.run()
    world.run_until(world.now + 8 * SECOND)
    return world


@pytest.mark.parametrize("liar", [0, 1])
@pytest.mark.parametrize("seed", range(3))
def test_a_spoilt_state_is_noticed_and_fetched_from_somebody_else(liar: ReplicaId, seed: int) -> None:
    world = attack_on_transfer(liar, seed)
    assert world.marks["states fetched"] >= 1
    positions = {replica: state_of(world, replica).delivered for replica in (1 - liar, 2, 3)}
    assert len(set(positions.values())) == 1, positions
