"""A replica shows certificates in its VIEW-CHANGE that are genuine somewhere else: another position, digest, view,
cluster; or an old one, while it holds a newer.

Schedule: replica 0 leads and orders, then it is gone; 3 lies in the change to view 1. A certificate must bind cluster,
view, position, kind and digest. Passes if what was decided stays decided, and what is not bound is called a lie.
"""

from __future__ import annotations

from hashlib import sha256

import pytest
from puppet import Puppet, others, plan, state_of, told_lies, world_with_puppet

from outvote.core.checkpoints import GENESIS
from outvote.core.contract import Message
from outvote.protocols.pbft.messages import (
    Prepare,
    PreparedCertificate,
    PrePrepare,
    ProposalStatement,
    ViewChange,
)
from outvote.simulator.plan import Fault
from outvote.simulator.seals import SealRegistry
from outvote.simulator.world import World
from outvote.types import SECOND, ReplicaId, Seal

OTHER = sha256(b"another batch").digest()
UNBOUND = (
    "another position", "another digest", "a later view", "the view asked for", "another cluster", "another kind",
)
OLD = ("oldest only", "nothing at all")


def genuine(puppet: Puppet) -> list[PreparedCertificate]:
    """By position: what the puppet can really prove of view 0."""
    proposals: dict[int, tuple[PrePrepare, Seal]] = {}
    prepares: dict[int, dict[ReplicaId, Seal]] = {}
    for sender, message, seal in puppet.heard:
        if isinstance(message, PrePrepare) and message.view == 0:
            proposals[message.position] = message, seal
        elif isinstance(message, Prepare) and message.view == 0:
            prepares.setdefault(message.position, {})[sender] = seal
    return [
        PreparedCertificate(0, position, message.digest, 0, seal, tuple(sorted(prepares[position].items())))
        for position, (message, seal) in sorted(proposals.items()) if len(prepares.get(position, ())) == 2
    ]


def unbound(lie: str, true: PreparedCertificate, view: int) -> PreparedCertificate:
    view_said, position, digest = true.view, true.position, true.digest
    seal, prepares = true.proposal_seal, true.prepares
    if lie == "another position":
        position += 1
    elif lie == "another digest":
        digest = OTHER
    elif lie == "a later view":
        view_said = 4  # which 0 leads as well
    elif lie == "the view asked for":
        view_said = view
    elif lie == "another cluster":
        elsewhere = SealRegistry(4711)
        seal = elsewhere.sealer(0).seal(ProposalStatement(0, position, digest))
        prepares = tuple((one, elsewhere.sealer(one).seal(Prepare(0, position, digest))) for one, _ in prepares)
    else:
        seal = prepares[0][1]  # a PREPARE's seal where a PRE-PREPARE's belongs
    return PreparedCertificate(view_said, position, digest, true.proposer, seal, prepares)


def attack(lie: str) -> World:
    faults = [Fault(SECOND, "crash", 0, 1), Fault(4 * SECOND, "restart", 0, 0)]
    world, puppet = world_with_puppet(
        3, plan(operations=8, faults=faults, faults_end=5 * SECOND, pause=SECOND, interval=16)
    )

    def on_message(_sender: ReplicaId, message: Message) -> None:
        if isinstance(message, ViewChange):
            true = genuine(puppet)
            assert true, "something was prepared before"
            shown: tuple[PreparedCertificate, ...] = ()
            if lie in UNBOUND:
                shown = (*true[:-1], unbound(lie, true[-1], message.view))
            elif lie == "oldest only":
                shown = tuple(true[:1])
            puppet.say(others(world, 3), ViewChange(message.view, GENESIS, shown))

    puppet.on_message = on_message
    world.run()
    return world


@pytest.mark.parametrize("lie", UNBOUND)
def test_a_certificate_is_worth_nothing_where_it_was_not_given(lie: str) -> None:
    world = attack(lie)
    assert told_lies(world, 3)
    assert state_of(world, 1).view >= 1
    for replica in (1, 2):
        quoted = state_of(world, replica).new_view
        assert quoted is not None
        assert 3 not in {one.sender for one in quoted[0].view_changes}


@pytest.mark.parametrize("lie", OLD)
def test_showing_less_than_one_holds_changes_nothing(lie: str) -> None:
    """It is no lie that anybody could prove; the other quorum members show the rest."""
    world = attack(lie)
    assert told_lies(world, 3) == []
    assert state_of(world, 1).view >= 1
    assert state_of(world, 1).delivered == state_of(world, 2).delivered >= 4
