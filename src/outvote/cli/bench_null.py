"""The replicated class of `outvote bench pbft-paper`: operations that take and give bytes, and do nothing."""

from __future__ import annotations

from typing import Final

from outvote.machines.machine import Rejected, StateMachine, command, query

RESULT_BYTES_MAX: Final = 65_536


class NullService(StateMachine):
    """The null operations of Castro and Liskov's micro-benchmark; `executed` counts the ordered ones."""

    executed: int = 0

    @command
    def write(self, argument: bytes, result_bytes: int) -> bytes:
        """Ordered."""
        if not 0 <= result_bytes <= RESULT_BYTES_MAX:
            raise Rejected(f"a result has 0 to {RESULT_BYTES_MAX} bytes")
        self.executed += 1
        return bytes(result_bytes)

    @query
    def read(self, argument: bytes, result_bytes: int) -> bytes:
        """Answered in one round trip."""
        if not 0 <= result_bytes <= RESULT_BYTES_MAX:
            raise Rejected(f"a result has 0 to {RESULT_BYTES_MAX} bytes")
        return bytes(result_bytes)
