"""A new primary sends a NEW-VIEW with genuine VIEW-CHANGEs and another O than follows from them.

Schedule: position 1 is decided at replicas 0 and 2, then 0 is gone; replica 1, which leads view 1, lies in O. Whoever
does not compute O itself loses the decision. Passes if everybody refuses and view 2 keeps what was decided.
"""

from __future__ import annotations

from hashlib import sha256

import pytest
from puppet import others, plan, state_of, told_lies, world_with_puppet

from outvote.core.checkpoints import GENESIS
from outvote.core.contract import Message
from outvote.protocols.pbft.messages import NULL_DIGEST, NewView, Prepare, SealedViewChange, ViewChange
from outvote.protocols.pbft.view_change import choose
from outvote.simulator.plan import Fault
from outvote.simulator.world import World
from outvote.types import SECOND, Digest, Position, ReplicaId

Z = sha256(b"never proposed").digest()
O_LIES = ("empty", "null", "other", "longer")


def attack_with_bad_o(lie: str) -> World:
    """Replica 1 leads view 1. Position 1 was decided at 0 and 2, then 0 is gone; the NEW-VIEW quotes genuine
    VIEW-CHANGEs and says something else in O than follows from them."""
    faults = [
        Fault(0, "cut", 0, 3), Fault(0, "cut", 2, 3),
        Fault(SECOND // 10, "crash", 0, 1), Fault(SECOND // 10, "heal", 2, 3), Fault(4 * SECOND, "restart", 0, 0),
    ]
    world, puppet = world_with_puppet(1, plan(operations=6, faults=faults, faults_end=4 * SECOND, pause=SECOND))
    changes: dict[ReplicaId, SealedViewChange] = {}

    def on_message(sender: ReplicaId, message: Message) -> None:
        if isinstance(message, Prepare) and message.view == 0 and sender == 2:
            puppet.say((0, 2), Prepare(0, message.position, message.digest))
        if not isinstance(message, ViewChange) or message.view != 1 or sender in changes:
            return
        changes[sender] = SealedViewChange(sender, message, puppet.heard[-1][2])
        if len(changes) == 2:
            own = ViewChange(1, GENESIS, ())
            changes[1] = SealedViewChange(1, own, puppet.seal(own))
            quoted = tuple(changes[sender] for sender in sorted(changes))
            _, proposals = choose([one.message for one in quoted])
            puppet.say(others(world, 1), own, NewView(1, quoted, lied(lie, proposals)))

    puppet.on_message = on_message
    world.run()
    return world


def lied(lie: str, proposals: tuple[tuple[Position, Digest], ...]) -> tuple[tuple[Position, Digest], ...]:
    assert proposals, "something was prepared"
    if lie == "empty":
        return ()
    if lie == "null":
        return tuple((position, NULL_DIGEST) for position, _ in proposals)
    if lie == "other":
        return tuple((position, Z) for position, _ in proposals)
    return (*proposals, (proposals[-1][0] + 1, Z))


@pytest.mark.parametrize("lie", O_LIES)
def test_a_new_view_with_another_o_is_refused_and_the_next_view_keeps_what_was_decided(lie: str) -> None:
    world = attack_with_bad_o(lie)
    assert "new-view that does not follow from its view-changes" in told_lies(world, 1)
    for replica in (0, 2, 3):
        assert state_of(world, replica).view >= 2
    assert not any("Entered message(view=1 " in line for line in world.trace.lines)
