"""Claims to have prepared what nobody proposed, with seals that are its own or nobody's."""

from __future__ import annotations

from hashlib import sha256

import msgspec

from outvote.core.contract import Message
from outvote.core.occasion import Occasion
from outvote.protocols.pbft.messages import Prepare, PreparedCertificate, ProposalStatement, ViewChange
from outvote.types import SEAL_BYTES


def claimed_certificates(message: Message, occasion: Occasion) -> list[Message] | None:
    """For the position behind its last true one, or in its place, of the newest view that can be claimed."""
    if not isinstance(message, ViewChange) or message.view < 1:
        return None
    view = message.view - 1
    last = message.prepared[-1].position if message.prepared else message.stable.position
    position = last + (0 if message.prepared and occasion.choice % 2 else 1)
    digest = sha256(b"never proposed %d" % position).digest()
    own = occasion.seal(Prepare(view, position, digest))
    proposer = view % occasion.n
    proposal = occasion.seal(ProposalStatement(view, position, digest))
    signers = [one for one in range(occasion.n) if one != proposer]
    seals = tuple((one, own if one == occasion.me else bytes(SEAL_BYTES)) for one in signers)
    claimed = PreparedCertificate(view, position, digest, proposer, proposal, seals)
    kept = tuple(one for one in message.prepared if one.position < position)
    return [msgspec.structs.replace(message, prepared=(*kept, claimed))]
