"""Is in time with everything but its own proposals: slow, not silent (`slow-proposals:900` says by how many ms)."""

from __future__ import annotations

from outvote.core.contract import Message
from outvote.simulator.adversaries.slow import Slow
from outvote.types import Nanos, ReplicaId


class SlowProposer(Slow):
    def delay(self, receiver: ReplicaId, message: Message) -> Nanos:
        return self._delay_ns if type(message).__name__ == self.powers.protocol.ordering[0] else 0
