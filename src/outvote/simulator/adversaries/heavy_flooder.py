"""Sends frames as large as a link carries, full of nothing."""

from __future__ import annotations

from typing import Final

from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.types import SECOND, Nanos

FRAME_BYTES: Final = 1 << 20
FRAMES: Final = 6  # of a run, to each replica
PAUSE_NS: Nanos = SECOND // 2


class HeavyFlooder(Behaviour):
    def begin(self) -> None:
        self._sent = 0
        self.powers.later(PAUSE_NS, self._send)

    def _send(self) -> None:
        self._sent += 1
        for receiver in self.powers.others:
            self.powers.send(receiver, bytes(FRAME_BYTES))
        if self._sent < FRAMES:
            self.powers.later(PAUSE_NS, self._send)
