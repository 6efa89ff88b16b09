"""Shares dealt anew: the replicas that hold a secret hand it over to others, or to themselves, and it stays the same.

Two committees, which may share members: the old one, whose members hold shares, and the new one, whose members are to
hold others. The arithmetic is the port `Dealings` again: `crypto/dealings.py` says what it means to deal one's share,
why the public key stays, and why old shares and new ones fit no more together.

1. Every old member proposes a dealing of its share to a common subset of the old committee, which has keys, and so
   tosses the common coin. All correct ones get the same dealings, of n - f of them or more.
2. Every old member says DEALT(dealings) to all new members. A new member takes what f + 1 old ones say in the very same
   words: one of them is correct.
3. Every new member opens its boxes and proposes its verdict to a common subset of the new committee. It has no keys
   yet, so the coin is public, as in `key_generation.py`.
4. Agreed: of the dealings that are not accused rightly, the first f + 1 (of the old committee) make the new shares. Of
   n - f dealings at most f are liars', and n - 2f >= f + 1. Who has no right share after this is helped as there.

What a correct replica does when the new shares are in use: it forgets its old one. As long as f + 1 old members keep
theirs, they can together do what they could; that is not for the new ones to prevent. From then on f liars among the
new members and f who broke into old ones do not add up: points of two polynomials with nothing in common but the value
at zero.
"""

from __future__ import annotations

from functools import partial
from typing import Final, NamedTuple

from outvote.broadcast.asynchronous_subset import AsynchronousSubset, Line
from outvote.broadcast.binary_agreement import ROUNDS_AHEAD
from outvote.broadcast.coin import Coin, PublicCoin, coin_name
from outvote.broadcast.component import Body
from outvote.broadcast.key_generation import DEALING, JUDGING, Agreed, Dealings
from outvote.broadcast.reliable import largest_shard
from outvote.core.committee import Committee
from outvote.core.contract import ALL, digest_of
from outvote.core.tally import Tally
from outvote.types import Digest, ReplicaId

HANDING: Final = 2  # between the stages DEALING, of the old committee, and JUDGING, of the new one
PROPOSALS: Final = (DEALING, JUDGING)


class Dealt(Body, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=10):
    """Old member to new members: what the old committee agreed on."""

    dealings: tuple[tuple[ReplicaId, bytes], ...]  # by dealer, ascending


class Said(NamedTuple):
    """Something to be said. The stage says in which committee the receiver has its number: DEALING in the old one."""

    receiver: ReplicaId
    stage: int
    proposer: ReplicaId
    body: Body


class Place(NamedTuple):
    """Who somebody is: its number in the old committee, in the new one, or in both; None where it is no member."""

    old: ReplicaId | None
    new: ReplicaId | None


class KeyResharing:
    """One replica's part. `agreed` is there, at new members, once it is certain.

    Held, besides the two common subsets: one DEALT an old member, n dealings at most each.
    """

    def __init__(
        self,
        me: Place,
        committees: tuple[Committee, Committee],
        dealings: Dealings,
        coin: Coin | None,
        name: bytes,
        sizes: tuple[int, int],
    ) -> None:
        """`committees`: the old one and the new one. `coin`: of the old keys, for old members. `name`: of this handing
        over and no other. `sizes`: bytes of the largest dealing and of the largest verdict."""
        self.agreed: Agreed | None = None
        self.faults: list[tuple[ReplicaId, str]] = []  # with the number in the committee of the stage
        self._dealings = dealings
        self._old = committees[0]
        self._largest = sizes[0]
        self._handed: Tally[Digest] = Tally()
        self._told: dict[Digest, Dealt] = {}
        self._taken: dict[ReplicaId, bytes] | None = None
        self._judged = False
        self._said_dealt = False
        self._subsets: dict[int, AsynchronousSubset] = {}
        coins: tuple[Coin, Coin] = (coin or PublicCoin(), PublicCoin())
        for stage, number in zip(PROPOSALS, me, strict=True):
            if number is not None:
                shard = largest_shard(sizes[stage], committees[stage])
                name_of = partial(coin_name, name, stage)
                self._subsets[stage] = AsynchronousSubset(number, committees[stage], coins[stage], name_of, shard)

    def begin(self) -> list[Said]:
        """An old member deals; the others wait."""
        if DEALING not in self._subsets:
            return []
        return _within(DEALING, self._subsets[DEALING].propose(self._dealings.deal())) + self._advance()

    def bind(self, stage: int, proposer: ReplicaId, body: Body) -> None:
        """This was said before a restart; `begin` and what is heard then bring the rest, in the same words."""
        if stage == HANDING:
            self._said_dealt = True
        elif stage in self._subsets:
            self._subsets[stage].bind(proposer, body)

    def words_max(self) -> int:
        """How much one replica says in all, if no agreement takes more than a few rounds: DEALT, and in each of its
        subsets n VALs, and of each proposer ECHO, READY, TERM and 5 a round."""
        sizes = [len(subset.broadcasts) for subset in self._subsets.values()]
        return 1 + sum(n + n * (3 + 5 * ROUNDS_AHEAD) for n in sizes)

    def receive(self, sender: ReplicaId, stage: int, proposer: ReplicaId, body: Body) -> list[Said]:
        """`sender`: its number in the committee whose words these are, the new one for JUDGING, else the old one."""
        said: list[Said] = []
        if stage in self._subsets and not isinstance(body, Dealt):
            said = _within(stage, self._subsets[stage].receive(sender, proposer, body))
        elif stage == HANDING and isinstance(body, Dealt) and self._old.holds(sender):
            self._on_dealt(sender, body)
        return said + self._advance()

    def _on_dealt(self, sender: ReplicaId, body: Dealt) -> None:
        if self._taken is not None or self._handed.has(sender) or JUDGING not in self._subsets:
            return
        dealers = [dealer for dealer, _ in body.dealings]
        if dealers != sorted(dict.fromkeys(dealers)) or not all(map(self._old.holds, dealers)):
            self.faults.append((sender, "DEALT that nobody can have agreed on"))
            return
        if any(len(raw) > 2 * self._largest for _, raw in body.dealings):  # twice: what was coded may be padded
            self.faults.append((sender, "DEALT with a dealing that is too long"))
            return
        digest = digest_of(body)
        self._told.setdefault(digest, body)
        if self._handed.add(sender, digest, b"") and self._handed.count(digest) >= self._old.weak:
            self._taken = dict(self._told[digest].dealings)
            self._told.clear()

    def _advance(self) -> list[Said]:
        said: list[Said] = []
        dealing, judging = self._subsets.get(DEALING), self._subsets.get(JUDGING)
        if dealing is not None and dealing.output is not None and not self._said_dealt:
            self._said_dealt = True
            said.append(Said(ALL, HANDING, 0, Dealt(tuple(sorted(dealing.output.items())))))
        if judging is not None and self._taken is not None:
            if not self._judged:
                self._judged = True
                said += _within(JUDGING, judging.propose(self._dealings.verdict(self._taken)))
            if judging.output is not None and self.agreed is None:
                self.agreed = Agreed(self._taken, judging.output)
        for subset in self._subsets.values():
            self.faults += subset.faults
            subset.faults.clear()
        return said


def _within(stage: int, lines: list[Line]) -> list[Said]:
    return [Said(line.receiver, stage, line.proposer, line.body) for line in lines]
