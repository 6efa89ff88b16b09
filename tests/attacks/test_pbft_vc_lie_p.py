"""A replica claims in its VIEW-CHANGE that something was prepared that nobody ever proposed.

In the signature form a claim needs a certificate, so the lie is in the certificate: forged seals, its own under other
names, one signer repeated, an old certificate said to be of a newer view. Passes if the VIEW-CHANGE counts for nothing.
"""

from __future__ import annotations

from hashlib import sha256

import pytest
from puppet import others, plan, state_of, told_lies, world_with_puppet

from outvote.core.checkpoints import GENESIS
from outvote.core.contract import Message
from outvote.protocols.pbft.messages import Prepare, PreparedCertificate, ProposalStatement, ViewChange
from outvote.simulator.world import World
from outvote.types import SECOND, ReplicaId, Seal

Z = sha256(b"never proposed").digest()
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
