"""Votes for everything that anybody names, conflicting things included: the vote that every bad quorum lacks.

A traitor that runs correct code twice rarely brings about a disagreement; one that seconds every statement does so
as soon as a quorum is counted wrongly anywhere.
"""

from __future__ import annotations

from random import Random

from outvote.core.contract import Message
from outvote.protocols.catalogue import Protocol
from outvote.simulator.adversaries.behaviour import Behaviour

SAID_MAX = 4000  # statements of a run; what was said is not said again, or two of this kind would never stop


class YesMan(Behaviour):
    def __init__(self, rng: Random, protocol: Protocol, n: int) -> None:
        super().__init__(rng, protocol, n)
        self._said: dict[Message, None] = {}

    def heard(self, message: Message) -> list[Message]:
        fresh = [vote for vote in self.agreement(message) if vote not in self._said]
        if len(self._said) >= SAID_MAX:
            return []
        self._said.update(dict.fromkeys(fresh))
        return fresh
