"""A client that sends each request again and again, whether it has been answered or not."""

from __future__ import annotations

from typing import Final

from outvote.core.contract import Request
from outvote.simulator.adversaries.false_client import ClientPowers, FalseClient

TIMES: Final = 6  # at once


class RetransmitStorm(FalseClient):
    """Old requests come along with the newest: some are answered from the client table, some are forgotten."""

    def __init__(self, powers: ClientPowers) -> None:
        super().__init__(powers)
        self._issued: list[Request] = []

    def begin(self) -> None:
        self.repeat(self._storm, self.powers.requests_max // 2)

    def _storm(self) -> None:
        powers = self.powers
        number = powers.next_number()
        self._issued.append(powers.request(number, [powers.draw()], max(0, number - 4)))
        for request in [self._issued[-1]] * TIMES + self._issued[-4:-1]:
            powers.submit_to_all(request)
        self.lies += 1
