"""A request that one replica can verify and others cannot: the storm of view changes that MAC vectors allow.

Requests are signed here, so what the primary accepts every backup accepts. Left of the attack are a client that sends
a good seal to some and a bad one to others, and a primary that proposes what nobody sealed. Passes if the client causes
no view change at all, and the primary loses its view without anything forged being executed.
"""

from __future__ import annotations

import msgspec
import pytest
from puppet import others, plan, state_of, told_lies, world_with_puppet

from outvote.core.contract import Message, Request, RequestStatement, digest_of
from outvote.machines.interface import describe
from outvote.machines.key_value import KeyValueStore
from outvote.protocols.catalogue import protocol
from outvote.protocols.pbft.messages import Batch, Forward, PrePrepare, Status
from outvote.simulator.plan import Plan
from outvote.simulator.world import World
from outvote.types import FIRST_CLIENT, MILLISECOND, SECOND, ClientId, ReplicaId

LIAR = FIRST_CLIENT + 1


def sealed_request(world: World, client: ClientId, number: int) -> Request:
    operations = (describe(KeyValueStore).encode("put", ("k", f"of {client}")),)
    statement = RequestStatement(client, number, 0, operations)
    return Request(client, number, 0, operations, world.registry.sealer(client).seal(statement))


@pytest.mark.parametrize("fooled", [(0,), (1, 2, 3), (0, 1), (2,), (0, 1, 2, 3)])
def test_a_client_with_a_seal_for_some_only_changes_no_view(fooled: tuple[ReplicaId, ...]) -> None:
    chosen: Plan = plan(operations=10, pause=SECOND // 10).but(false_clients=((),))
    world = World(chosen, protocol("pbft"), keep_trace=True)

    def attack(number: int) -> None:
        good = sealed_request(world, LIAR, number)
        bad = msgspec.structs.replace(good, seal=bytes(64))
        for replica in range(4):
            world.replicas[replica].request(LIAR, bad if replica in fooled else good)
        if number < 20:
            world.after(50 * MILLISECOND, lambda: attack(number + 1))

    world.after(0, lambda: attack(1))
    world.run()
    assert {state_of(world, replica).view for replica in range(4)} == {0}
    clients = {client for _, requests in world.order.decided.values() for client, _, _ in requests}
    assert (LIAR in clients) == (len(fooled) < 4), "one replica that can verify it is enough to have it ordered"


def test_a_primary_that_proposes_what_no_client_sealed_loses_its_view() -> None:
    world, puppet = world_with_puppet(0, plan(operations=6))
    done = False

    def on_message(_sender: ReplicaId, message: Message) -> None:
        nonlocal done
        if done or not isinstance(message, Forward | Status):
            return
        done = True
        forged = msgspec.structs.replace(sealed_request(world, FIRST_CLIENT, 1), seal=bytes(64))
        batch = Batch(1_700_000_000 * SECOND, (forged,))
        puppet.say(others(world, 0), PrePrepare(0, 1, digest_of(batch), batch))

    puppet.on_message = on_message
    world.run()
    assert done
    assert "a PrePrepare that quotes a forged seal" in told_lies(world, 0)
    assert all(state_of(world, replica).view >= 1 for replica in (1, 2, 3))
