"""Is in time with everything but its own proposals: slow, not silent (`slow-proposals:900` says by how many ms)."""

from __future__ import annotations

from outvote.core.contract import Message
from outvote.errors import Mistake
from outvote.simulator.adversaries.powers import Powers
from outvote.simulator.adversaries.slow import Slow
from outvote.types import MILLISECOND, Nanos, ReplicaId

DIGITS_MAX = 7  # of the argument: up to three hours, more than any run lasts


class SlowProposer(Slow):
    """`argument` in milliseconds; without one it is drawn. Raises Mistake for what is no number of milliseconds."""

    def __init__(self, powers: Powers, argument: str = "") -> None:
        super().__init__(powers)
        if argument:
            if not argument.isdecimal() or len(argument) > DIGITS_MAX:
                raise Mistake(f"slow-proposals:{argument}: write slow-proposals:MILLISECONDS, as in slow-proposals:900")
            self._delay_ns = int(argument) * MILLISECOND
        self._proposal = powers.protocol.ordering[0]

    def delay(self, receiver: ReplicaId, message: Message) -> Nanos:
        return self._delay_ns if type(message).__name__ == self._proposal else 0
