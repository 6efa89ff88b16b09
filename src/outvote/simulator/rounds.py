"""Partitions by protocol round, as Twins and ByzzFuzz have them: what is cut off depends on what a message says.

A message that belongs to no round (a retransmission, a checkpoint) counts for the latest round that its sender has
spoken in. Kept: once the world has healed, everything passes.
"""

from __future__ import annotations

from collections.abc import Callable

from outvote.core.contract import Message
from outvote.errors import Lie
from outvote.simulator.plan import Plan, Split
from outvote.types import Nanos
from outvote.wire.codec import Codec


class Rounds:
    """Decides for one world which messages pass. Parties are places."""

    def __init__(
        self, plan: Plan, round_of: Callable[[Message], int | None], codec: Codec, now: Callable[[], Nanos]
    ) -> None:
        self._round_of = round_of
        self._codec = codec
        self._now = now
        self._splits = [_Split(split) for split in plan.splits]
        self._of_round: dict[int, list[_Split]] = {}
        self._at = [0] * (plan.n + len(plan.twins))  # the latest round that a place has spoken in
        self._body = b""
        self._round: int | None = None  # of _body
        self.active = bool(self._splits)

    def heal(self) -> None:
        """From here on everything passes."""
        self.active = False

    def carries(self, sender: int, receiver: int, body: bytes) -> bool:
        """Whether a frame goes from one place to another."""
        if body is not self._body:
            self._body, self._round = body, self._read(body)
        if self._round is not None and self._round > self._at[sender]:
            self._at[sender] = self._round
        number = self._at[sender] if self._round is None else self._round
        now = self._now()
        passes = True
        splits = self._of_round.get(number)
        if splits is None:
            splits = self._of_round[number] = [one for one in self._splits if one.first <= number <= one.last]
        for split in splits:
            if not split.lets_pass(sender, receiver, now):
                passes = False  # and go on: other splits of this round may begin with this message
        return passes

    def _read(self, body: bytes) -> int | None:
        try:
            message, _ = self._codec.decode(body)
        except Lie:
            return None
        return self._round_of(message)


class _Split:
    """One entry of the plan, and when its rounds began."""

    __slots__ = ("began", "first", "last", "side", "since", "until")

    def __init__(self, split: Split) -> None:
        self.first = split.first
        self.last = split.last
        self.since = split.since
        self.until = split.until
        self.side = {place: index for index, side in enumerate(split.sides) for place in side}
        self.began: Nanos | None = None

    def lets_pass(self, sender: int, receiver: int, now: Nanos) -> bool:
        if self.began is None:
            self.began = now
        if not self.since <= now - self.began < self.until:
            return True
        side = self.side.get(sender)
        return side is not None and side == self.side.get(receiver)
