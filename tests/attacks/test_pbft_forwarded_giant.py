"""A request that no client's gate would admit, handed to each primary by a lying replica as if it came from a client.

It fits the frame in which it is forwarded and not the one in which it would be proposed: a primary that took it could
not tell anybody, position by position and view by view. Passes if no primary takes it, and no backup a batch of more
bytes than a primary may cut.
"""

from __future__ import annotations

from puppet import plan, state_of, world_with_puppet

from outvote.core.contract import Request, RequestStatement, digest_of
from outvote.protocols.pbft.config import PbftConfig
from outvote.protocols.pbft.messages import Batch, Forward, PrePrepare
from outvote.types import FIRST_CLIENT, MILLISECOND, SECOND
from outvote.wire.frames import FRAME_BYTES_MAX

LIAR = FIRST_CLIENT + 1


def test_what_is_too_large_to_be_proposed_is_not_taken_from_a_replica() -> None:
    world, puppet = world_with_puppet(3, plan(operations=6, pause=SECOND // 5).but(false_clients=((),)))
    statement = RequestStatement(LIAR, 1, 0, (bytes(FRAME_BYTES_MAX - 150),))
    seal = world.registry.sealer(LIAR).seal(statement)
    giant = Request(LIAR, 1, 0, statement.operations, seal)
    assert len(world.codec.encode(Forward(giant), b"")) <= FRAME_BYTES_MAX
    batch = Batch(1_700_000_000 * SECOND, (giant,))
    proposal = PrePrepare(0, 1, digest_of(batch), batch)
    assert len(world.codec.encode(proposal, bytes(64))) > FRAME_BYTES_MAX

    def attack() -> None:
        puppet.say([0, 1, 2], Forward(giant))
        world.after(200 * MILLISECOND, attack)

    world.after(0, attack)
    world.run()
    assert all(client != LIAR for _, requests in world.order.decided.values() for client, _, _ in requests)
    assert {state_of(world, replica).view for replica in range(3)} == {0}


def test_a_batch_that_no_honest_primary_would_cut_loses_its_primary_the_view() -> None:
    world, puppet = world_with_puppet(0, plan(operations=6).but(false_clients=((),)))
    statement = RequestStatement(LIAR, 1, 0, (bytes(PbftConfig().batch_bytes_max),))
    giant = Request(LIAR, 1, 0, statement.operations, world.registry.sealer(LIAR).seal(statement))
    batch = Batch(1_700_000_000 * SECOND, (giant,))
    world.after(MILLISECOND, lambda: puppet.say([1, 2, 3], PrePrepare(0, 1, digest_of(batch), batch)))
    world.run()
    assert all(client != LIAR for _, requests in world.order.decided.values() for client, _, _ in requests)
    assert all(state_of(world, replica).view >= 1 for replica in (1, 2, 3))
