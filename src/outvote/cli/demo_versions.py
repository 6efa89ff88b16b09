"""The demo's last word: a bug in one replica's implementation is outvoted, the same bug in all is agreed on.

Four tills in this process, each a replica; two implementations, one of them wrong by a cent.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from outvote.core.committee import Committee
from outvote.host.inline import InlineCluster
from outvote.machines.machine import StateMachine, command
from outvote.protocols.catalogue import protocol

PRICE: Final = 100
N: Final = 4


class Till(StateMachine):
    """Takes prices less 29 percent, in cents."""

    taken: int = 0

    @command
    def sell(self, price: int) -> int:
        paid = price - price * 29 // 100
        self.taken += paid
        return paid


class RoundingTill(StateMachine):
    """The same, as somebody wrote who did not know that 100 * 0.29 is a little less than 29."""

    taken: int = 0

    @command
    def sell(self, price: int) -> int:
        paid = price - int(price * 0.29)
        self.taken += paid
        return paid


class Told(NamedTuple):
    """What a client is told, in cents, with so many replicas running the wrong one."""

    by_none: object
    by_one: object
    by_all: object


def tell() -> Told:
    """Ask three clusters the same."""
    pbft, committee = protocol("pbft"), Committee(N)

    def sold(wrong: int) -> object:
        versions: dict[int, type[StateMachine]] = dict.fromkeys(range(N - wrong, N), RoundingTill)
        cluster = InlineCluster(
            Till, lambda me: pbft.make(me, committee, {}), pbft.messages, pbft.records, versions=versions
        )
        return cluster.call("sell", PRICE)

    return Told(sold(0), sold(1), sold(N))
