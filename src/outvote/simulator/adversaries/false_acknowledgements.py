"""A client that says it was answered when it was not: numbers never sent, its own, the future's, less than before."""

from __future__ import annotations

from typing import Final

from outvote.core.contract import Request
from outvote.simulator.adversaries.false_client import FalseClient

LARGEST: Final = (1 << 64) - 1  # that can be written


class FalseAcknowledgements(FalseClient):
    """It may give up its own requests so, and in the end all numbers that there are; nobody else's."""

    def begin(self) -> None:
        self._left = self.powers.requests_max
        self.repeat(self._issue, self._left)

    def _issue(self) -> None:
        powers = self.powers
        self._left -= 1
        if not self._left and self.rng.random() < 0.5:
            powers.submit_to_all(powers.request(LARGEST, [powers.draw()], LARGEST - 1))
        else:
            first, second = self._claim(powers.next_number()), self._claim(powers.next_number())
            for replica in range(powers.n):
                # In either order: what the second one settles may still be under way.
                for request in (first, second) if self.rng.random() < 0.5 else (second, first):
                    powers.submit(replica, request)
        self.lies += 1

    def _claim(self, number: int) -> Request:
        acknowledged = self.rng.choice((number - 1, number - 1, number - 2, number, number + 5, LARGEST, -1))
        return self.powers.request(number, [self.powers.draw()], acknowledged)
