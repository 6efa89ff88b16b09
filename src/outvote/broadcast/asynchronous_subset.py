"""Asynchronous common subset (Ben-Or, Kelmer and Rabin 1994; Miller et al. 2016, figure 4).

Each replica proposes a value; all correct ones output the same set of (proposer, value), of n - f proposers or more,
and at least n - 2f of those are correct. One reliable broadcast RBC_j and one binary agreement BA_j a proposer j.

1. The value goes into one's own RBC.
2. When RBC_j delivers: put 1 into BA_j, if nothing is in it.
3. When n - f BAs have decided 1: put 0 into every BA that has no input. Not before: whoever votes against the slow ones
   at once may leave too few in the set, and a correct proposer's value out of every one.
4. When all BAs have decided: wait for RBC_j of each j whose BA decided 1 (it comes: a correct replica put 1 in, so it
   had delivered) and output them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from outvote.broadcast.binary_agreement import Aux, BinaryAgreement, BVal, CoinShare, Conf, Term
from outvote.broadcast.coin import Coin
from outvote.broadcast.component import Body, Lines
from outvote.broadcast.reliable import Echo, Ready, ReliableBroadcast, Val
from outvote.core.committee import Committee
from outvote.types import ReplicaId


class Line(NamedTuple):
    """Something to be said within the instance of one proposer."""

    receiver: ReplicaId
    proposer: ReplicaId
    body: Body


BROADCASTING = (Val, Echo, Ready)
AGREEING = (BVal, Aux, Conf, CoinShare, Term)


class AsynchronousSubset:
    """One replica's part in one common subset. `output` is there once it is certain, in order of proposers."""

    def __init__(
        self,
        me: ReplicaId,
        committee: Committee,
        coin: Coin,
        name_of: Callable[[ReplicaId, int], bytes],
        shard_bytes_max: int,
    ) -> None:
        self.output: dict[ReplicaId, bytes] | None = None
        self.faults: list[tuple[ReplicaId, str]] = []
        self.me = me
        self._committee = committee
        members = range(committee.n)
        self._lines = [Lines() for _ in members]
        self.broadcasts = [
            ReliableBroadcast(me, proposer, committee, self._lines[proposer], shard_bytes_max) for proposer in members
        ]
        self.agreements = [
            BinaryAgreement(me, committee, self._lines[proposer], coin, partial(name_of, proposer))
            for proposer in members
        ]
        # Of each proposer, whether its value is here and what is decided about it, as it was when all were looked at;
        # None before that.
        self._seen: list[tuple[bool, bool | None] | None] = [None for _ in members]

    def propose(self, value: bytes) -> list[Line]:
        """Once."""
        self.broadcasts[self.me].propose(value)
        return self._settle()

    def bind(self, proposer: ReplicaId, body: Body) -> None:
        (self.broadcasts if isinstance(body, BROADCASTING) else self.agreements)[proposer].bind(body)

    def receive(self, sender: ReplicaId, proposer: ReplicaId, body: Body) -> list[Line]:
        if isinstance(body, BROADCASTING):
            self.broadcasts[proposer].receive(sender, body)
        else:
            self.agreements[proposer].receive(sender, body)
        if self._seen[proposer] == self._sight(proposer):
            return self._take(proposer)  # as mostly: what it means for the others has been looked at
        return self._settle()

    def resume(self) -> list[Line]:
        """Something that was being worked out is known."""
        for agreement in self.agreements:
            agreement.resume()
        return self._settle()

    def _settle(self) -> list[Line]:
        for broadcast, agreement in zip(self.broadcasts, self.agreements, strict=True):
            if broadcast.delivered is not None and not agreement.has_input:
                agreement.propose(True)
        if self._may_refuse():
            for agreement in self.agreements:
                if not agreement.has_input:
                    agreement.propose(False)
        self._try_output()
        said: list[Line] = []
        for proposer in range(len(self._lines)):
            said += self._take(proposer)
            self._seen[proposer] = self._sight(proposer)
        return said

    def _sight(self, proposer: ReplicaId) -> tuple[bool, bool | None]:
        return self.broadcasts[proposer].delivered is not None, self.agreements[proposer].decided

    def _take(self, proposer: ReplicaId) -> list[Line]:
        lines = self._lines[proposer]
        if lines.faults:
            self.faults += lines.faults
            lines.faults.clear()
        return [Line(receiver, proposer, body) for receiver, body in lines.take()] if lines.said else []

    def _may_refuse(self) -> bool:
        accepted = sum(1 for agreement in self.agreements if agreement.decided)
        return accepted >= self._committee.n - self._committee.faults

    def _try_output(self) -> None:
        if self.output is not None or any(agreement.decided is None for agreement in self.agreements):
            return
        accepted = [broadcast for broadcast, one in zip(self.broadcasts, self.agreements, strict=True) if one.decided]
        if all(broadcast.delivered is not None for broadcast in accepted):
            self.output = {one.proposer: one.delivered for one in accepted if one.delivered is not None}
