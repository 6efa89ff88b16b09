"""Lies about what was prepared: in NEW-VIEWs and in VIEW-CHANGEs."""

from __future__ import annotations

from hashlib import sha256

import pytest
from puppet import others, plan, state_of, told_lies, world_with_puppet

from outvote.core.contract import Message
from outvote.protocols.pbft.messages import (
    GENESIS,
    NULL_DIGEST,
    NewView,
    Prepare,
    PreparedCertificate,
    ProposalStatement,
    SealedViewChange,
    ViewChange,
)
from outvote.protocols.pbft.view_change import choose
from outvote.simulator.plan import Fault
from outvote.simulator.world import World
from outvote.types import SECOND, Digest, Position, ReplicaId, Seal

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


CERTIFICATE_LIES = ("forged seals", "own seals under other names", "repeated signer", "older view made newer")


def attack_with_bad_certificates(lie: str) -> World:
    """Replica 0 leads view 0, says nothing, and claims in every VIEW-CHANGE that something was prepared."""
    world, puppet = world_with_puppet(0, plan(operations=4, faults_end=SECOND))

    def certificate(view: int) -> PreparedCertificate:
        proposer = view % 4
        if lie == "older view made newer" and view:
            genuine = certificate(0)
            return PreparedCertificate(view, 1, Z, proposer, genuine.proposal_seal, genuine.prepares)
        proposal = world.registry.sealer(0).seal(ProposalStatement(view, 1, Z))
        own = puppet.seal(Prepare(view, 1, Z))
        prepares: tuple[tuple[ReplicaId, Seal], ...] = ((1, bytes(64)), (2, bytes(64)))
        if lie == "own seals under other names":
            prepares = ((1, own), (2, own))
        elif lie == "repeated signer":
            prepares = ((0, own), (0, own))
        return PreparedCertificate(view, 1, Z, proposer, proposal, prepares)

    def on_message(sender: ReplicaId, message: Message) -> None:
        if isinstance(message, ViewChange):
            view = 0 if lie != "older view made newer" else message.view - 1
            puppet.say(others(world, 0), ViewChange(message.view, GENESIS, (certificate(view),)))

    puppet.on_message = on_message
    world.run()
    return world


@pytest.mark.parametrize("lie", CERTIFICATE_LIES)
def test_a_view_change_with_an_unsound_certificate_counts_for_nothing(lie: str) -> None:
    world = attack_with_bad_certificates(lie)
    assert told_lies(world, 0), "it is noticed"
    for replica in (1, 2, 3):
        state = state_of(world, replica)
        assert state.view >= 1
        assert Z not in state.required.values()
        assert 0 not in {
            quoted.sender for quoted in (state.new_view[0].view_changes if state.new_view is not None else ())
        }


def join_attack() -> World:
    """One liar alone asks for ever higher views: nobody follows, and nobody leaves a view that works."""
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
