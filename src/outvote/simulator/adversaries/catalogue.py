"""Every behaviour by name."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Final

from outvote.errors import Mistake
from outvote.simulator.adversaries.behaviour import Behaviour, Variant
from outvote.simulator.adversaries.equivocator import Equivocator
from outvote.simulator.adversaries.half_broadcaster import HalfBroadcaster
from outvote.simulator.adversaries.replayer import Replayer
from outvote.simulator.adversaries.reply_forger import ReplyForger
from outvote.simulator.adversaries.silent import Silent

BEHAVIOURS: Final[Mapping[str, type[Behaviour]]] = {
    "silent": Silent,
    "equivocate": Equivocator,
    "forge-replies": ReplyForger,
    "replay": Replayer,
    "half-broadcast": HalfBroadcaster,
}


def behaviour(name: str, rng: Random, variant: Variant, n: int) -> Behaviour:
    """Raises Mistake if there is none of this name."""
    kind = BEHAVIOURS.get(name)
    if kind is None:
        raise Mistake(f"there is no behaviour {name!r}: choose from {', '.join(BEHAVIOURS)}")
    return kind(rng, variant, n)
