"""Every lying client by name."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Final

from outvote.errors import Mistake
from outvote.simulator.adversaries.abandoned_requests import AbandonedRequests
from outvote.simulator.adversaries.backups_only import BackupsOnly
from outvote.simulator.adversaries.decreasing_numbers import DecreasingNumbers
from outvote.simulator.adversaries.false_acknowledgements import FalseAcknowledgements
from outvote.simulator.adversaries.false_client import ClientPowers, FalseClient
from outvote.simulator.adversaries.malformed_operations import MalformedOperations
from outvote.simulator.adversaries.many_bodies import ManyBodies
from outvote.simulator.adversaries.oversized import Oversized
from outvote.simulator.adversaries.request_flood import RequestFlood
from outvote.simulator.adversaries.request_thief import RequestThief
from outvote.simulator.adversaries.retransmit_storm import RetransmitStorm
from outvote.simulator.adversaries.seal_for_some import SealForSome
from outvote.simulator.adversaries.two_bodies import TwoBodies

FALSE_CLIENTS: Final[Mapping[str, type[FalseClient]]] = {
    "two-bodies": TwoBodies,
    "many-bodies": ManyBodies,
    "seal-for-some": SealForSome,
    "backups-only": BackupsOnly,
    "flood-requests": RequestFlood,
    "retransmit": RetransmitStorm,
    "count-down": DecreasingNumbers,
    "steal-requests": RequestThief,
    "oversize": Oversized,
    "abandon": AbandonedRequests,
    "malformed": MalformedOperations,
    "false-acknowledgements": FalseAcknowledgements,
}


def false_client(name: str, powers: ClientPowers) -> FalseClient:
    """Raises Mistake if there is none of this name."""
    kind = FALSE_CLIENTS.get(name)
    if kind is None:
        raise Mistake(f"there is no lying client {name!r}: choose from {', '.join(FALSE_CLIENTS)}")
    return kind(powers)


def told_of_client(name: str) -> str:
    """What a lying client does, in a line. Raises KeyError if there is none of this name."""
    return (sys.modules[FALSE_CLIENTS[name].__module__].__doc__ or "").strip().split("\n")[0]
