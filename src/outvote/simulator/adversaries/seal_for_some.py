"""A client whose seal is good for some replicas and bad for others: the storm that MAC vectors allowed."""

from __future__ import annotations

import msgspec

from outvote.core.contract import Request
from outvote.simulator.adversaries.false_client import FalseClient


class SealForSome(FalseClient):
    """Bad ones are empty of meaning, or good ones of another request."""

    def begin(self) -> None:
        self.repeat(self._issue, self.powers.requests_max)

    def _issue(self) -> None:
        powers = self.powers
        number = powers.next_number()
        good = powers.request(number, [powers.draw()], number - 1)
        fooled = self.rng.sample(range(powers.n), self.rng.randint(1, powers.n))
        for replica in range(powers.n):
            powers.submit(replica, self._spoilt(good) if replica in fooled else good)
        self.lies += 1

    def _spoilt(self, good: Request) -> Request:
        other = self.powers.request(good.number, [self.powers.draw()], good.acknowledged)
        seal = self.rng.choice((bytes(len(good.seal)), other.seal, good.seal[:-1] + bytes([good.seal[-1] ^ 1])))
        return msgspec.structs.replace(good, seal=seal)
