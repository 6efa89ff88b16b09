"""A client that seals two requests under one number and gives each to half of the replicas."""

from __future__ import annotations

import pytest
from puppet import plan, state_of

from outvote.core.contract import Request, RequestStatement
from outvote.machines.interface import describe
from outvote.machines.key_value import KeyValueStore
from outvote.protocols.catalogue import protocol
from outvote.simulator.world import World
from outvote.types import FIRST_CLIENT, SECOND


@pytest.mark.parametrize("split", [(0,), (0, 1), (1,), (3,), (1, 2, 3)])
def test_one_of_the_two_is_executed_everywhere_and_the_other_nowhere(split: tuple[int, ...]) -> None:
    world = World(plan(operations=0), protocol("pbft"), keep_trace=True)
    put = describe(KeyValueStore)
    sealer = world.registry.sealer(FIRST_CLIENT)
    world.start()
    told = {}
    for value in ("x", "y"):
        operations = (put.encode("put", ("k", value)),)
        statement = RequestStatement(FIRST_CLIENT, 1, 0, operations)
        told[value] = Request(FIRST_CLIENT, 1, 0, operations, sealer.seal(statement))
    for replica in range(4):
        world.replicas[replica].request(FIRST_CLIENT, told["x" if replica in split else "y"])
    world.run_until(5 * SECOND)
    bodies = set()
    for replica in range(4):
        turn = world.replicas[replica].turn
        assert turn is not None
        assert turn.executor.executed_already(FIRST_CLIENT, 1)
        answer = turn.executor.cached(FIRST_CLIENT, 1)
        assert answer is not None
        bodies.add((answer.position, answer.results))
        assert state_of(world, replica).pool.oldest() is None
    assert len(bodies) == 1, "executed once, at one position, with one result"
    states = {world.replicas[replica].turn.executor.checkpoint().data for replica in range(4)}  # type: ignore[union-attr]
    assert len(states) == 1
