"""A client that gives one number to as many requests as there are replicas, and each replica another one."""

from __future__ import annotations

from outvote.simulator.adversaries.false_client import FalseClient


class ManyBodies(FalseClient):
    """Whatever the primary proposes, no backup has heard of it from the client."""

    def begin(self) -> None:
        self.repeat(self._issue, self.powers.requests_max)

    def _issue(self) -> None:
        powers = self.powers
        number = powers.next_number()
        for replica in range(powers.n):
            powers.submit(replica, powers.request(number, [powers.draw()], number - 1))
        self.lies += 1
