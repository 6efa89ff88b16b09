"""Sends frames that are no messages: cut, with flipped bits, of unknown kinds, nested without end."""

from __future__ import annotations

from typing import Final

from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.types import ReplicaId

HOW_OFTEN: Final = 0.2
NOISE_MAX: Final = 300  # frames of a run
NESTED: Final = b"\x93\x00\xc4\x00" + b"\x91" * 3000


class Babbler(Behaviour):
    noise = 0

    def sent(self, receiver: ReplicaId, body: bytes) -> None:
        if self.noise < NOISE_MAX and self.rng.random() < HOW_OFTEN:
            self.noise += 1
            self.powers.send(receiver, self._spoilt(body))

    def _spoilt(self, body: bytes) -> bytes:
        kind = self.rng.randrange(5)
        place = self.rng.randrange(len(body))
        if kind == 0:
            return body[:place]
        if kind == 1:
            return body[:place] + bytes([body[place] ^ 1 << self.rng.randrange(8)]) + body[place + 1 :]
        if kind == 2:
            return body + bytes([self.rng.randrange(256)])
        if kind == 3:
            return NESTED
        return self.rng.randbytes(self.rng.randrange(200))
