"""A replica claims in its VIEW-CHANGE that it prepared, and was proposed, what nobody ever proposed: nothing to check.

In the form without signatures a claim needs no certificate. Rule A2 is what keeps it from being chosen: f + 1 must say
that it was pre-prepared to them. Passes if no new view begins with it, and what clients asked for is done.
"""

from __future__ import annotations

from hashlib import sha256

import pytest
from puppet import others, plan, state_of, world_with_puppet

from outvote.core.contract import Message
from outvote.protocols.pbft.authenticators import choice
from outvote.protocols.pbft.authenticators.messages import (
    NewView,
    PreparedEntry,
    PrePreparedEntry,
    ViewChange,
    ViewChangeAck,
)
from outvote.protocols.pbft.messages import NULL_DIGEST
from outvote.simulator.plan import Fault
from outvote.simulator.world import World
from outvote.types import SECOND, Digest, Position, ReplicaId

Z = sha256(b"never proposed").digest()


def attack() -> tuple[World, list[NewView]]:
    """Replica 0 leads view 0, proposes nothing, acknowledges everything, and lies in every VIEW-CHANGE. Replica 3 is
    slow for a while, so that what 0 says is needed. Returns the NEW-VIEWs that were announced as well."""
    slow = [Fault(1, "pause", 3, 0), Fault(3 * SECOND, "resume", 3, 0)]
    world, puppet = world_with_puppet(0, plan(operations=4, faults=slow, faults_end=3 * SECOND), "pbft-authenticators")
    told: set[int] = set()
    announced: list[NewView] = []

    def on_message(sender: ReplicaId, message: Message) -> None:
        if isinstance(message, NewView):
            announced.append(message)
        if isinstance(message, ViewChangeAck):
            puppet.say(others(world, 0), message)
        if isinstance(message, ViewChange) and message.view not in told:
            told.add(message.view)
            lie = ViewChange(
                message.view, 0, ((0, b""),),
                (PreparedEntry(1, Z, message.view - 1),), (PrePreparedEntry(1, ((Z, message.view - 1),)),),
            )
            puppet.say(others(world, 0), lie)

    puppet.on_message = on_message
    world.run()
    return world, announced


def test_a_claim_that_nobody_else_supports_is_not_chosen() -> None:
    world, announced = attack()
    assert announced
    assert [one for one in announced if Z in dict(one.proposals).values()] == []
    for replica in (1, 2, 3):
        state = state_of(world, replica)
        assert state.view >= 1
        assert state.delivered >= 1


def a2_skipped(patch: pytest.MonkeyPatch) -> None:
    """A new view begins with what one replica says that it prepared, whoever else was ever proposed it."""

    def choose_digest(shown: list[choice._Shown], position: Position, committee: object) -> Digest | None:
        entries = [entry for entry in (one.prepared.get(position) for one in shown) if entry is not None]
        return max(entries, key=lambda entry: (entry[1], entry[0]))[0] if entries else NULL_DIGEST

    patch.setattr(choice, "choose_digest", choose_digest)


def test_without_that_rule_the_attack_succeeds() -> None:
    with pytest.MonkeyPatch.context() as patch:
        a2_skipped(patch)
        with pytest.raises(BaseException):  # noqa: B017 - the assertion, or a Violation
            test_a_claim_that_nobody_else_supports_is_not_chosen()
