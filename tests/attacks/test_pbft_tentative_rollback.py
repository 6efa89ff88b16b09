"""One honest replica prepares a position that no new view hears of: what it executed tentatively must be undone.

Schedule: replica 0 leads, and only 1 hears enough PREPAREs; it executes client 0's request at position 1 and tells the
client. Then 1 is cut off, and the others change to a view led by 2, in which position 1 is another batch. Passes if 1
goes back once it learns of the new view, ends in the others' state, and the client did not take one replica's tentative
answer for the answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from puppet import plan, state_of

from outvote.protocols.catalogue import protocol
from outvote.simulator.world import World
from outvote.types import MILLISECOND, SECOND

ALL = range(4)


def world_in_which_1_is_alone_ahead() -> World:
    chosen = plan(operations=0).but(clients=2, receipts=False, leaders=(0, 2))
    world = World(chosen, protocol("pbft"))
    world.start()
    world.run_until(50 * MILLISECOND)
    for backup in (1, 2, 3):
        for other in ALL:
            if other not in (1, backup):
                world.network.cut(backup, other)
    world.call(0, [("put", ("k", "lost"))])
    world.run_until(100 * MILLISECOND)
    turn = world.replicas[1].turn
    assert turn is not None
    assert state_of(world, 1).tentative_end == 1
    assert turn.executor.position == 1
    assert state_of(world, 1).delivered == 0
    assert not world.clients[0].finished, "one tentative answer is none"
    return world


def connect(world: World, talk: Sequence[int]) -> None:
    """These hear each other, and nobody else anybody."""
    for one in ALL:
        for other in ALL:
            if one != other:
                world.network.link(one, other).heal_all()
                if not (one in talk and other in talk):
                    world.network.cut(one, other)


def undone_when_the_view_changes() -> None:
    world = world_in_which_1_is_alone_ahead()
    connect(world, ())
    world.run_until(world.now + 1500 * MILLISECOND)  # everybody has left view 0
    connect(world, (0, 2, 3))
    world.call(1, [("put", ("k", "kept"))])
    world.run_until(world.now + 4 * SECOND)
    assert world.clients[1].finished
    assert state_of(world, 2).view == 1
    assert state_of(world, 1).delivered == 0
    turn = world.replicas[1].turn
    assert turn is not None
    assert turn.executor.position == 0, "it has left the view and gone back"
    connect(world, ALL)
    world.run_until(world.now + 8 * SECOND)
    assert world.marks["tentative executions undone"] == 1
    assert world.clients[0].finished
    images = {replica.turn.executor.machine.snapshot() for replica in world.replicas if replica.turn is not None}
    histories = {replica.turn.executor.history for replica in world.replicas if replica.turn is not None}
    assert len(images) == len(histories) == 1
    assert turn.executor.position == state_of(world, 2).delivered == 2


def test_what_the_new_view_does_not_know_of_is_undone() -> None:
    undone_when_the_view_changes()
