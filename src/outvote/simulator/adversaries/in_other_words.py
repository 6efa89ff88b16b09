"""Says something else in its protocol's own words: the lies are the protocol's, one a file (its folder lies/)."""

from __future__ import annotations

from outvote.core.contract import Message
from outvote.core.occasion import Occasion
from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.simulator.adversaries.powers import Powers
from outvote.types import ReplicaId


class InOtherWords(Behaviour):
    """One of the protocol's lies by name. In some runs it lies always, in some now and then, so that a cluster that
    has given it up for a while hears it again."""

    def __init__(self, powers: Powers, name: str) -> None:
        super().__init__(powers)
        self._lie = powers.protocol.lies.get(name)
        self._how_often = self.rng.choice((1.0, 0.5, 0.2))
        self._message: Message | None = None
        self._lying = False
        self._choice = 0

    def speak(self, receiver: ReplicaId, message: Message) -> list[Message]:
        if self._lie is None:
            return [message]
        if message is not self._message:  # drawn once for all its receivers
            self._message = message
            self._lying = self.rng.random() < self._how_often
            self._choice = self.rng.getrandbits(16)
        if not self._lying:
            return [message]
        powers = self.powers
        said = self._lie(
            message, Occasion(powers.me, receiver, self.n, self._choice, powers.past, powers.seal_statement)
        )
        return [message] if said is None else said
