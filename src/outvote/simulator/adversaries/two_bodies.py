"""A client that gives one number to two requests and hands each to half of the replicas."""

from __future__ import annotations

from outvote.simulator.adversaries.false_client import FalseClient


class TwoBodies(FalseClient):
    """The halves are drawn anew for every number."""

    def begin(self) -> None:
        self.repeat(self._issue, self.powers.requests_max)

    def _issue(self) -> None:
        powers = self.powers
        number = powers.next_number()
        bodies = [powers.request(number, [powers.draw()], number - 1) for _ in range(2)]
        given = [self.rng.randrange(2) for _ in range(powers.n)]
        for replica, body in enumerate(given):
            powers.submit(replica, bodies[body])
        self.lies += len(set(given)) > 1
