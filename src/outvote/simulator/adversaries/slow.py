"""Says everything late: just before others lose patience (`slow:900` says by how many ms)."""

from __future__ import annotations

from outvote.core.contract import Message
from outvote.errors import Mistake
from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.simulator.adversaries.powers import Powers
from outvote.types import MILLISECOND, Nanos, ReplicaId

DELAYS_NS: tuple[Nanos, ...] = (80 * MILLISECOND, 250 * MILLISECOND, 450 * MILLISECOND, 900 * MILLISECOND)
DIGITS_MAX = 7  # of the argument: up to three hours, more than any run lasts


class Slow(Behaviour):
    """By `argument` milliseconds; without one below one of the timeouts that runs are drawn with. Raises Mistake for
    what is no number of milliseconds."""

    def __init__(self, powers: Powers, argument: str = "") -> None:
        super().__init__(powers)
        self._delay_ns = self.rng.choice(DELAYS_NS)
        if argument:
            if not argument.isdecimal() or len(argument) > DIGITS_MAX:
                raise Mistake(f"a delay of {argument!r}: write slow:MILLISECONDS, as in slow:900")
            self._delay_ns = int(argument) * MILLISECOND

    def delay(self, receiver: ReplicaId, message: Message) -> Nanos:
        return self._delay_ns
