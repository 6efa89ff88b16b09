"""Distributed key generation: replicas that trust nobody agree on threshold keys, without a clock.

The arithmetic is behind a port, `Dealings`: `crypto/dealings.py` says what a dealing, an accusation and a verdict are,
and why a verdict can be judged by anybody. Here is what has to be agreed on, and in which order:

1. Every replica proposes a dealing to a first common subset. All correct ones get the same dealings, of n - f replicas
   or more. What is not right in public counts for nothing, for all alike.
2. Every replica opens its boxes in those dealings and proposes its verdict, the accusations that it has to make or
   none, to a second common subset. All correct ones get the same verdicts, of n - f replicas or more.
3. The dealings that no verdict rightly accuses are the result: at least f + 1, since of n - f dealings at most f are
   liars', and one correct dealer is enough to keep the secret. n - 2f >= f + 1 of the verdicts are correct replicas':
   so f + 1 correct replicas have all their rows, and can help those whose accusation came too late for step 2.

Nothing has to come in time: a dealing that is late is not in the set, and an accusation that is late is made up for by
help. Two different dealings of one dealer cannot both be delivered by its reliable broadcast.

A common subset needs a coin, and there are no keys to toss one with. So the coin here is public: a hash that everybody
can compute beforehand. Agreement does not rest on the coin. That it ends does: somebody who knows all coins *and*
decides when every message arrives could keep it open for ever. No network that is merely bad does so. It is the one
moment in the life of a HoneyBadger cluster that assumes more of the network than that it delivers.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final, NamedTuple, Protocol

from outvote.broadcast.asynchronous_subset import AsynchronousSubset
from outvote.broadcast.binary_agreement import ROUNDS_AHEAD
from outvote.broadcast.coin import PublicCoin, coin_name
from outvote.broadcast.component import Body
from outvote.broadcast.reliable import largest_shard
from outvote.core.committee import Committee
from outvote.types import ReplicaId

DEALING: Final = 0
JUDGING: Final = 1
STAGES: Final = (DEALING, JUDGING)


class Dealings(Protocol):
    """One replica's access to one ceremony."""

    def deal(self) -> bytes:
        """This replica's dealing; the same again if it is asked again."""

    def verdict(self, dealings: Mapping[ReplicaId, bytes]) -> bytes:
        """Whom of these this replica has to accuse; the same again for the same dealings."""


class Agreed(NamedTuple):
    """What all correct replicas have in common at the end, by proposer."""

    dealings: dict[ReplicaId, bytes]
    verdicts: dict[ReplicaId, bytes]


class Said(NamedTuple):
    """Something to be said in one stage, within the instance of one proposer."""

    receiver: ReplicaId
    stage: int
    proposer: ReplicaId
    body: Body


class KeyGeneration:
    """One replica's part. `agreed` is there once it is certain."""

    def __init__(
        self, me: ReplicaId, committee: Committee, dealings: Dealings, name: bytes, sizes: tuple[int, int]
    ) -> None:
        """`name`: of this ceremony and no other. `sizes`: bytes of the largest dealing and of the largest verdict."""
        self.agreed: Agreed | None = None
        self.faults: list[tuple[ReplicaId, str]] = []
        self.me = me
        self._dealings = dealings
        self._proposed = [False, False]
        self._committee = committee
        self._subsets = [
            AsynchronousSubset(
                me, committee, PublicCoin(), partial(coin_name, name, stage), largest_shard(sizes[stage], committee)
            )
            for stage in STAGES
        ]

    def begin(self) -> list[Said]:
        """Deal; after a restart, once more: among the words are then some that were said before."""
        return self._propose(DEALING, self._dealings.deal()) + self._advance()

    def bind(self, stage: int, proposer: ReplicaId, body: Body) -> None:
        """This was said before a restart. Not necessarily all that was to be said with it: so `begin` proposes anew,
        which is the same again."""
        self._subsets[stage].bind(proposer, body)

    def receive(self, sender: ReplicaId, stage: int, proposer: ReplicaId, body: Body) -> list[Said]:
        """`stage` and `proposer` are looked at by who calls."""
        said = self._subsets[stage].receive(sender, proposer, body)
        return [Said(line.receiver, stage, line.proposer, line.body) for line in said] + self._advance()

    def delivered(self) -> tuple[ReplicaId, ...]:
        """Whose dealings have come."""
        broadcasts = self._subsets[DEALING].broadcasts
        return tuple(one.proposer for one in broadcasts if one.delivered is not None)

    def words_max(self) -> int:
        """How much one replica says in all, if no agreement takes more than a few rounds: n VALs a stage, and of each
        proposer ECHO, READY, TERM and 5 a round."""
        n = self._committee.n
        return 2 * (n + n * (3 + 5 * ROUNDS_AHEAD))

    def _propose(self, stage: int, value: bytes) -> list[Said]:
        if self._proposed[stage]:
            return []
        self._proposed[stage] = True
        said = self._subsets[stage].propose(value)
        return [Said(line.receiver, stage, line.proposer, line.body) for line in said]

    def _advance(self) -> list[Said]:
        said: list[Said] = []
        dealings, verdicts = (subset.output for subset in self._subsets)
        if dealings is not None and not self._proposed[JUDGING]:
            said = self._propose(JUDGING, self._dealings.verdict(dealings))
            verdicts = self._subsets[JUDGING].output
        if dealings is not None and verdicts is not None and self.agreed is None:
            self.agreed = Agreed(dealings, verdicts)
        for subset in self._subsets:
            self.faults += subset.faults
            subset.faults.clear()
        return said
