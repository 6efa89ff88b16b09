"""A client that asks for as much as it may at once, and for more: all requests are valid, not all are admitted."""

from __future__ import annotations

from typing import Final

from outvote.simulator.adversaries.false_client import FalseClient
from outvote.wire.client_messages import OUTSTANDING_MAX

BURSTS: Final = 2
BEYOND: Final = 5  # requests a burst outside of the window


class RequestFlood(FalseClient):
    """Open numbers up to the limit and beyond; those beyond must be refused by everybody."""

    def begin(self) -> None:
        self.repeat(self._burst, BURSTS)

    def _burst(self) -> None:
        powers = self.powers
        settled = powers.number
        for _ in range(powers.requests_max):
            powers.submit_to_all(powers.request(powers.next_number(), [powers.draw()], settled))
        for beyond in range(1, BEYOND + 1):
            powers.submit_to_all(powers.request(settled + OUTSTANDING_MAX + beyond, [powers.draw()], settled))
        self.lies += 1
