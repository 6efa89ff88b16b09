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

    def run_by_priority(self, key: Callable[[Letter], object], liar: int, steps_max: int = 50_000) -> None:
        """A scheduler who looks into messages: what differs in `key` is delivered in an order drawn once, so that whole
        kinds of votes between some replicas come first, or after everything else."""
        self.collect()
        ranks: dict[object, float] = {}

        def rank(letter: Letter) -> float:
            # Now and then, and for liars' words at any time, something else first: all is delivered at last.
            if letter.sender == liar or self.random.random() < 0.02:
                return self.random.random()
            return ranks.setdefault(key(letter), self.random.random())

        for _ in range(steps_max):
            if not self.under_way:
                return
            self.deliver(self.under_way.pop(min(range(len(self.under_way)), key=lambda at: rank(self.under_way[at]))))
        raise AssertionError("it goes on for ever")

    def run(self, wanted: Callable[[Letter], bool] = lambda _: True, steps_max: int = 50_000) -> None:
        """Until nothing that is wanted is under way."""
        self.collect()
        for _ in range(steps_max):
            if not self.step(wanted):
                return
        raise AssertionError("it goes on for ever")
