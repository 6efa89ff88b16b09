"""Every behaviour by name."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Final

from outvote.errors import Mistake
from outvote.protocols.catalogue import Protocol
from outvote.simulator.adversaries.bad_seals import BadSeals
from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.simulator.adversaries.equivocator import Equivocator
from outvote.simulator.adversaries.half_broadcaster import HalfBroadcaster
from outvote.simulator.adversaries.omitter import Omitter
from outvote.simulator.adversaries.replayer import Replayer
from outvote.simulator.adversaries.reply_forger import ReplyForger
from outvote.simulator.adversaries.silent import Silent
from outvote.simulator.adversaries.transfer_liar import TransferLiar
from outvote.simulator.adversaries.usurper import Usurper
from outvote.simulator.adversaries.yes_man import YesMan

BEHAVIOURS: Final[Mapping[str, type[Behaviour]]] = {
    "silent": Silent,
    "equivocate": Equivocator,
    "forge-replies": ReplyForger,
    "replay": Replayer,
    "half-broadcast": HalfBroadcaster,
    "agree-with-all": YesMan,
    "bad-seals": BadSeals,
    "spoil-transfers": TransferLiar,
    "omit": Omitter,
    "usurp": Usurper,
}


def behaviour(name: str, rng: Random, protocol: Protocol, n: int) -> Behaviour:
    """Raises Mistake if there is none of this name."""
    kind = BEHAVIOURS.get(name)
    if kind is None:
        raise Mistake(f"there is no behaviour {name!r}: choose from {', '.join(BEHAVIOURS)}")
    return kind(rng, protocol, n)
