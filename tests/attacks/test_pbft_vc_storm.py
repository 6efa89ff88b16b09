"""One liar alone asks for ever higher views. Passes if nobody follows and nobody leaves a view that works."""

from __future__ import annotations

from puppet import others, plan, state_of, world_with_puppet

from outvote.core.checkpoints import GENESIS
from outvote.core.contract import Message
from outvote.protocols.pbft.messages import Prepare, ViewChange
from outvote.simulator.world import World
from outvote.types import ReplicaId


def join_attack() -> World:
    world, puppet = world_with_puppet(3, plan(operations=10))

    def on_message(sender: ReplicaId, message: Message) -> None:
        if isinstance(message, Prepare):
            puppet.say(others(world, 3), ViewChange(message.position + 1, GENESIS, ()))

    puppet.on_message = on_message
    world.run()
    return world


def test_one_liar_cannot_move_anybody_to_another_view() -> None:
    world = join_attack()
    assert {state_of(world, replica).view for replica in (0, 1, 2)} == {0}
