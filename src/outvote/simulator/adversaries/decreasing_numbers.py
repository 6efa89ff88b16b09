"""A client that counts down: every number is new and lower than the one before, settled ones included."""

from __future__ import annotations

from outvote.simulator.adversaries.false_client import FalseClient


class DecreasingNumbers(FalseClient):
    """Going down through open numbers is allowed, and below what is acknowledged it is not: it does either."""

    _low = _next = 0

    def begin(self) -> None:
        self.repeat(self._issue, self.powers.requests_max)

    def _issue(self) -> None:
        powers = self.powers
        if self._next <= self._low:
            # Down to three below what the highest of the last ones says is settled.
            self._low = max(0, powers.number - 3)
            self._next = powers.next_number(8)
        request = powers.request(self._next, [powers.draw()], max(0, min(powers.number - 8, self._next - 1)))
        self._next -= 1
        powers.submit_to_all(request)
        self.lies += request.number < powers.number
