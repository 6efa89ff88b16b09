"""Says everything late: just before others lose patience."""

from __future__ import annotations

from outvote.core.contract import Message
from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.simulator.adversaries.powers import Powers
from outvote.types import MILLISECOND, Nanos, ReplicaId

DELAYS_NS: tuple[Nanos, ...] = (80 * MILLISECOND, 250 * MILLISECOND, 450 * MILLISECOND, 900 * MILLISECOND)


class Slow(Behaviour):
    """Below one of the timeouts that runs are drawn with."""

    def __init__(self, powers: Powers) -> None:
        super().__init__(powers)
        self._delay_ns = self.rng.choice(DELAYS_NS)

    def delay(self, receiver: ReplicaId, message: Message) -> Nanos:
        return self._delay_ns
