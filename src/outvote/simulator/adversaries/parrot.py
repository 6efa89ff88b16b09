"""Repeats what others said as if it were its own: under their seals, and under its own."""

from __future__ import annotations

from outvote.core.contract import Message
from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.types import ReplicaId, Seal


class Parrot(Behaviour):
    """A message with another's seal must be refused; with its own it is a vote that only looks like the other's."""

    def heard(self, sender: ReplicaId, message: Message, seal: Seal) -> None:
        if self.rng.random() > 0.2:
            return
        receiver = self.rng.randrange(self.n)
        if self.rng.random() < 0.5:
            self.powers.send(receiver, self.powers.codec.encode(message, seal))
        else:
            self.powers.say(receiver, message)
