"""A client whose requests are as large as they may be, and larger, in bytes and in operations."""

from __future__ import annotations

from typing import Final

from outvote.core.contract import Request
from outvote.simulator.adversaries.false_client import FalseClient
from outvote.wire.client_messages import OPERATIONS_MAX, REQUEST_BYTES_MAX

REQUESTS: Final = 4  # a quarter of a MiB each, and every replica sends it to every other's disk


class Oversized(FalseClient):
    """A good operation comes first; what fills the rest is none, so it is ordered, refused and kept by everybody."""

    def begin(self) -> None:
        self.repeat(self._issue, REQUESTS)

    def _issue(self) -> None:
        powers = self.powers
        largest = self._of_size(REQUEST_BYTES_MAX)
        powers.submit_to_all(self.rng.choice((
            largest, largest, self._of_size(REQUEST_BYTES_MAX + 1), self._of_size(2 * REQUEST_BYTES_MAX),
            self._of_count(OPERATIONS_MAX), self._of_count(OPERATIONS_MAX + 1),
        )))
        self.lies += 1

    def _of_size(self, size_bytes: int) -> Request:
        powers = self.powers
        number = powers.next_number()
        first = powers.draw()
        empty = powers.request(number, [first, b""], number - 1)
        return powers.request(number, [first, bytes(size_bytes - empty.size_bytes())], number - 1)

    def _of_count(self, count: int) -> Request:
        powers = self.powers
        number = powers.next_number()
        return powers.request(number, [powers.draw(), *[b""] * (count - 1)], number - 1)
