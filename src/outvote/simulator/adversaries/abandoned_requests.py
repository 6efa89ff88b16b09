"""A client that never says that it was answered, leaves numbers out, and jumps further than it may."""

from __future__ import annotations

from outvote.simulator.adversaries.false_client import FalseClient
from outvote.wire.client_messages import OUTSTANDING_MAX


class AbandonedRequests(FalseClient):
    """What it leaves open must be kept, up to the window's end; there it begins anew as a restarted client would."""

    _settled = 0

    def begin(self) -> None:
        self.repeat(self._issue, self.powers.requests_max)

    def _issue(self) -> None:
        powers = self.powers
        if self.rng.random() < 0.1:
            # A whole window further, and nothing before it is settled: to be refused.
            powers.submit_to_all(powers.request(powers.number + OUTSTANDING_MAX + 1, [powers.draw()], self._settled))
        number = powers.next_number(self.rng.choice((1, 1, 2, 7, 30)))
        if number > self._settled + OUTSTANDING_MAX:
            self._settled = number - 1
        request = powers.request(number, [powers.draw()], self._settled)
        # One replica alone may hear of it: no retry follows.
        for replica in range(powers.n) if self.rng.random() < 0.7 else [self.rng.randrange(powers.n)]:
            powers.submit(replica, request)
        self.lies += 1
