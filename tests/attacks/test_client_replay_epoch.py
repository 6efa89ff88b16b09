"""Requests from another time or place, sent again: sealed for another cluster, or executed here long ago.

Passes if the first is dropped by everybody (the seal binds cluster and epoch) and the second changes nothing: it is
answered from the client table, or refused once that has forgotten it.
"""

from __future__ import annotations

from puppet import plan, state_of

from outvote.core.contract import Request, RequestStatement
from outvote.machines.interface import describe
from outvote.machines.key_value import KeyValueStore
from outvote.protocols.catalogue import protocol
from outvote.simulator.seals import SealRegistry
from outvote.simulator.world import World
from outvote.types import FIRST_CLIENT, MILLISECOND

LIAR = FIRST_CLIENT + 1


def made(registry: SealRegistry, number: int, acknowledged: int = 0) -> Request:
    operations = (describe(KeyValueStore).encode("put", ("k", str(number))),)
    statement = RequestStatement(LIAR, number, acknowledged, operations)
    return Request(LIAR, number, acknowledged, operations, registry.sealer(LIAR).seal(statement))


def world_of_a_liar() -> World:
    world = World(plan(operations=0).but(false_clients=((),)), protocol("pbft"), keep_trace=True)
    world.start()
    return world


def hand_out(world: World, request: Request) -> None:
    for replica in world.replicas:
        replica.request(LIAR, request)
    world.run_until(world.now + 300 * MILLISECOND)


def test_a_request_of_another_cluster_is_dropped_by_everybody() -> None:
    world = world_of_a_liar()
    hand_out(world, made(SealRegistry(4711), 1))
    assert world.order.decided == {}
    assert sum("is not sealed by its client" in line for line in world.trace.lines) == 4
    hand_out(world, made(world.registry, 1))
    assert len(world.order.decided) == 1, "the same under the right seal is executed"


def test_an_executed_request_is_executed_once_however_often_it_comes_back() -> None:
    world = world_of_a_liar()
    requests = [made(world.registry, number, max(0, number - 2)) for number in range(1, 8)]
    for request in requests:
        hand_out(world, request)
    decided = dict(world.order.decided)
    assert len(decided) == 7
    for request in [*requests, *reversed(requests)]:
        hand_out(world, request)
    assert world.order.decided == decided
    assert {state_of(world, replica).view for replica in range(4)} == {0}
    for replica in world.replicas:
        assert replica.turn is not None
        refusal = replica.turn.request(LIAR, requests[0])
        assert refusal is not None
        assert refusal.reason.endswith("its answer is forgotten")
        assert replica.turn.request(LIAR, requests[6]) is None, "answered from the client table"
