"""Classes such as users write, good and bad."""

from __future__ import annotations

import random
from typing import Annotated, ClassVar

import msgspec

from outvote import Context, Rejected, StateMachine, command, query


class Bank(StateMachine):
    """Deterministic, and without a Context."""

    accounts: dict[str, int] = msgspec.field(default_factory=dict)

    @command
    def deposit(self, account: str, amount: int = 1) -> int:
        if amount <= 0:
            raise Rejected(f"an amount must be positive, not {amount}")
        self.accounts[account] = self.accounts.get(account, 0) + amount
        return self.accounts[account]

    @query
    def balance(self, account: str) -> int:
        return self.accounts.get(account, 0)


class Lottery(StateMachine):
    """Deterministic, with agreed time and chance."""

    last: int = 0
    at_ns: int = 0
    by: int = 0

    @command
    def draw(self, limit: Annotated[int, msgspec.Meta(ge=1, le=100)], context: Context) -> int:
        self.last, self.at_ns, self.by = context.random_below(limit), context.time_ns, context.client
        return self.last

    @query
    def drawn_by(self) -> int:
        return self.by


class AnswersByChance(StateMachine):
    """Different results."""

    count: int = 0

    @command
    def draw(self) -> int:
        return random.getrandbits(32)


class KeepsChance(StateMachine):
    """Equal results, different states."""

    count: int = 0

    @command
    def add(self, amount: int) -> int:
        self.count = random.getrandbits(62)
        return amount


class CountsForAll(StateMachine):
    """Counts what all replicas of a process do together."""

    value: int = 0
    everywhere: ClassVar[list[int]] = []

    @command
    def add(self) -> int:
        self.everywhere.append(1)
        return len(self.everywhere)


class Forgets(StateMachine, derived=("count",)):
    """What it answers is left out of snapshots."""

    total: int = 0
    count: int = 0

    @command
    def add(self, amount: int) -> int:
        self.total += amount
        self.count += 1
        return self.count


class ForgetsOnDisk(StateMachine):
    """Writes its own snapshots, and reads them back wrongly."""

    value: int = 0

    @command
    def add(self, amount: int) -> int:
        self.value += amount
        return self.value

    def snapshot(self) -> bytes:
        return self.value.to_bytes(8, "big")

    def restore(self, snapshot: bytes) -> None:
        self.value = int.from_bytes(snapshot, "big") // 2
