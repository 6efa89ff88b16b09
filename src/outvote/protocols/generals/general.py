"""One general's part in one battle: a component in the contract's style. Calls go in, an outbox comes out.

The paper's generals are synchronous: what is sent in a round is heard in that round, or never. Whoever hosts a general
keeps the rounds apart - a loop (battle.py) or timers - and calls `start`, `receive` and `next_round`; the general knows
only which round it is in, and refuses what does not belong there. Rounds are counted from 1 to m + 1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final, TypeAlias

from outvote.core.contract import Message, Outbox
from outvote.errors import Mistake
from outvote.protocols.generals.orders import RETREAT, Order
from outvote.types import ReplicaId, Seal

Path: TypeAlias = tuple[ReplicaId, ...]  # whose mouths an order has come through: the commander first, the speaker last

GENERALS_MAX: Final = 13
LETTERS: Final = "ABCDEFGHIJKLM"  # their names for people
TRAITORS_ORAL_MAX: Final = 3  # OM(3) with 13 generals sends 13 344 messages, OM(4) 108 384


class General(ABC):
    """`me` of `n` generals, in a battle that `commander` opens and that shall bear `m` traitors."""

    def __init__(self, me: ReplicaId, n: int, m: int, commander: ReplicaId = 0, default: Order = RETREAT) -> None:
        self.me = me
        self.n = n
        self.m = m
        self.commander = commander
        self.default = default
        self.round = 0
        self.own: Order | None = None  # what this general ordered, if it is the commander
        self.out = Outbox()  # messages and lies; the host drains it

    @property
    def rounds(self) -> int:
        return self.m + 1

    def start(self, order: Order | None = None) -> None:
        """Round 1 begins. The commander is given its order here."""
        self.round = 1
        if self.me == self.commander:
            self.own = self.default if order is None else order
            self._command(self.own)

    def next_round(self) -> None:
        """The round is over: nothing more of it will come. What belongs to the next one goes into the outbox."""
        self.round += 1
        if self.round <= self.rounds and self.me != self.commander:
            self._relay()

    def admits(self, sender: ReplicaId, message: Message) -> bool:
        """Whether the message could still matter; cheap, asked before any signature is checked."""
        return self.refusal(sender, message) == ""

    def receive(self, sender: ReplicaId, message: Message, seal: Seal) -> None:
        """A message whose seal and claims are genuine. What is out of place is a lie, and is dropped."""
        why = self.refusal(sender, message)
        if why:
            self.out.lies.append((sender, why))
        else:
            self._hear(message, seal)

    def decision(self) -> Order:
        """Once all rounds are over. Raises Mistake before."""
        if self.round <= self.rounds:
            raise Mistake(f"general {self.me} is asked in round {self.round} of {self.rounds}: call next_round first")
        return self.own if self.own is not None else self._decide()

    @abstractmethod
    def grounds(self) -> list[tuple[Path, Order]]:
        """What a lieutenant's decision stands on: each order, and the path that vouches for it."""

    def others_outside(self, path: Path) -> list[ReplicaId]:
        """Everybody else whose mouth the order has not come through."""
        return [one for one in range(self.n) if one != self.me and one not in path]

    def misplaced(self, sender: ReplicaId, path: Path) -> str:
        """Why a message that has come along this path is none of this round; empty if it is.

        A path that is shorter than the round belongs to an earlier one: its message is late, or was held back.
        """
        if len(path) != self.round:
            return f"a path of {len(path)} in round {self.round}"
        if path[0] != self.commander:
            return f"an order of {path[0]}, who is not the commander"
        if path[-1] != sender:
            return f"from {sender}, on a path that ends with {path[-1]}"
        if len(dict.fromkeys(path)) != len(path):
            return "a path that comes twice through one general"
        if self.me in path:
            return "an order that I have passed on"
        if not all(0 <= one < self.n for one in path):
            return "a path through somebody who is no general"
        return ""

    @abstractmethod
    def refusal(self, sender: ReplicaId, message: Message) -> str:
        """Why the message is out of place; empty if it is not."""

    @abstractmethod
    def _command(self, order: Order) -> None: ...

    @abstractmethod
    def _relay(self) -> None: ...

    @abstractmethod
    def _hear(self, message: Message, seal: Seal) -> None: ...

    @abstractmethod
    def _decide(self) -> Order: ...


def check_battle(n: int, m: int, oral: bool) -> None:
    """Raises Mistake for sizes that make no sense, or too many messages."""
    if not 2 <= n <= GENERALS_MAX:
        raise Mistake(f"n is {n}: choose 2 to {GENERALS_MAX} generals")
    if not 0 <= m <= n - 2:
        raise Mistake(f"m is {m}: with {n} generals it can be 0 to {n - 2}, since an order comes through m + 1 mouths")
    if oral and m > TRAITORS_ORAL_MAX:
        raise Mistake(f"m is {m}: OM(m) is played up to m = {TRAITORS_ORAL_MAX}, more takes too many messages")
