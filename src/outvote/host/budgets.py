"""Work that a party may cause here beyond what it needs: so much at once, and so much a second.

A bucket a party that fills at a steady rate. For work that a correct party causes seldom, so that the others need not
share their processor with who causes it all the time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from outvote.types import SECOND, Nanos, PartyId, Size

# Answers given again from the client table, and requests for which there is no room. A correct client asks again after
# 400 ms, for 64 requests at most: 160 a second, and more slowly each time.
REPEATS_BURST: Final = 128
REPEATS_PER_SECOND: Final = 200
# Requests whose seal does not open, at some 0.1 ms each. A correct client's always do, but for those on their way while
# session keys change: one window of them.
FORGERIES_BURST: Final = 64
FORGERIES_PER_SECOND: Final = 8
PARTIES_MAX: Final = 4096  # remembered; those whose bucket is full again are forgotten


class Budget:
    """`burst` tokens at most, `per_second` more every second."""

    __slots__ = ("_burst_ns", "_price_ns", "_spent_until")

    def __init__(self, burst: int, per_second: int) -> None:
        self._price_ns: Nanos = SECOND // per_second  # a token, in time that it takes to come back
        self._burst_ns: Nanos = burst * self._price_ns
        self._spent_until: dict[PartyId, Nanos] = {}  # when the bucket will be full again

    def allows(self, party: PartyId, now: Nanos) -> bool:
        """Whether a token is left; takes none."""
        return max(now, self._spent_until.get(party, now)) + self._price_ns - now <= self._burst_ns

    def take(self, party: PartyId, now: Nanos) -> bool:
        """A token, if one is left. When too many are remembered all are let in: a cluster has fewer clients."""
        if not self.allows(party, now):
            return False
        if len(self._spent_until) >= PARTIES_MAX and party not in self._spent_until:
            self._spent_until = {one: until for one, until in self._spent_until.items() if until > now}
            if len(self._spent_until) >= PARTIES_MAX:
                return True
        self._spent_until[party] = max(now, self._spent_until.get(party, now)) + self._price_ns
        return True

    def sizes(self) -> Iterator[Size]:
        """What is held, and its limit."""
        yield "parties with a budget", len(self._spent_until), PARTIES_MAX
