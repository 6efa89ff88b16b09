"""Is in time with everything but its own proposals: slow, not silent."""

from __future__ import annotations

from outvote.core.contract import Message
from outvote.simulator.adversaries.slow import Slow
from outvote.types import Nanos, ReplicaId


class SlowProposer(Slow):
    def delay(self, receiver: ReplicaId, message: Message) -> Nanos:
        carries_body = message.sealed and message.statement() is not message
        return self._delay_ns if carries_body else 0
