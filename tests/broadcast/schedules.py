"""Replicas of one component in one room: what they say is delivered in an order drawn from a seed, or as tests want."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple, Protocol

from outvote.broadcast.component import Body, Lines
from outvote.core.contract import ALL
from outvote.types import ReplicaId


class Receiver(Protocol):
    """Any component that is one instance."""

    def receive(self, sender: ReplicaId, body: Body) -> None: ...


class Letter(NamedTuple):
    """One message under way."""

    sender: ReplicaId
    receiver: ReplicaId
    body: Body


Twist = Callable[[Letter], Sequence[Letter]]


class Room:
    """`parts` by replica; None for a liar, whose words are what the test posts. Steps are bounded."""

    def __init__(self, parts: Sequence[Receiver | None], lines: Sequence[Lines], seed: int) -> None:
        self.parts = parts
        self.lines = lines
        self.random = Random(seed)
        self.under_way: list[Letter] = []
        self.delivered: list[Letter] = []

    def post(self, sender: ReplicaId, receiver: ReplicaId, body: Body) -> None:
        receivers = range(len(self.parts)) if receiver == ALL else [receiver]
        self.under_way += [Letter(sender, one, body) for one in receivers if self.parts[one] is not None]

    def collect(self) -> None:
        for sender, lines in enumerate(self.lines):
            for receiver, body in lines.take():
                self.post(sender, receiver, body)

    def deliver(self, letter: Letter) -> None:
        part = self.parts[letter.receiver]
        assert part is not None
        self.delivered.append(letter)
        part.receive(letter.sender, letter.body)
        self.collect()

    def step(self, wanted: Callable[[Letter], bool]) -> bool:
        """Deliver one letter of those that are wanted, drawn; False if there is none."""
        chosen = [index for index, letter in enumerate(self.under_way) if wanted(letter)]
        if not chosen:
            return False
        self.deliver(self.under_way.pop(self.random.choice(chosen)))
        return True

    def run(self, wanted: Callable[[Letter], bool] = lambda _: True, steps_max: int = 50_000) -> None:
        """Until nothing that is wanted is under way."""
        self.collect()
        for _ in range(steps_max):
            if not self.step(wanted):
                return
        raise AssertionError("it goes on for ever")
