"""Votes for everything that anybody names, conflicting things included: the vote that every bad quorum lacks.

A traitor that runs correct code twice rarely brings about a disagreement; one that seconds every statement does so
as soon as a quorum is counted wrongly anywhere.
"""

from __future__ import annotations

from outvote.core.contract import ALL, Message
from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.simulator.adversaries.powers import Powers
from outvote.types import ReplicaId, Seal

SAID_MAX = 4000  # statements of a run; what was said is not said again, or two of this kind would never stop


class YesMan(Behaviour):
    def __init__(self, powers: Powers) -> None:
        super().__init__(powers)
        self._said: dict[Message, None] = {}

    def heard(self, sender: ReplicaId, message: Message, seal: Seal) -> None:
        for vote in self.agreement(message):
            if vote not in self._said and len(self._said) < SAID_MAX:
                self._said[vote] = None
                self.powers.say(ALL, vote)
