"""Who takes part from which epoch on: a function of the order alone, the same wherever as much is delivered.

The replicas of the genesis are all known; the *members* of an *era* propose, agree, hold shares and certify states, the
others learn. An era ends like this, every step at a position of the order:

1. Members put what their owners wish into what they propose. When a quorum of the members' last wishes name the same
   set, a change to it begins, under the position's name. Wishes for the members as they are end it without one.
2. The old members hand the keys over to the new ones (handing.py). Whoever has heard from enough new ones that they
   hold shares puts the new keys into what it proposes. When a quorum of members has said the same ones, the era's end
   is agreed on: `ahead` epochs later, further than anybody takes in words of this era until then.
3. After the era's last epoch the members certify the state, and with it this roster. That certificate is the link from
   era to era: the next one begins at a replica when it has it, and by a chain of them a laggard learns who the members
   are.

A quorum, not f + 1, begins a change: any two quorums share a correct member, so no two changes are agreed on.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from outvote.core.certificates import Seals
from outvote.core.committee import Committee
from outvote.core.contract import Struct, digest_of
from outvote.types import Digest, Position, ReplicaId

MEMBERS_MIN: Final = 4  # fewer bear no liar
# A laggard is shown a link for each change that it missed: the keys of 100 members and 67 seals are 15 kB, and 256 of
# them 3.9 MB, below a frame's 4 MiB.
CHANGES_MAX: Final = 256
TRANSCRIPT_DIGEST_BYTES: Final = 32


class Era(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """Its members in ascending order: a member's place in this list is its number in the epochs' messages."""

    number: int
    first: Position  # its first epoch
    members: tuple[ReplicaId, ...]
    began: Position = 0  # where the change to it began: the name of its re-sharing
    transcript: Digest = b""  # of that; empty for the first era
    public: bytes = b""  # its public keys; those of the first era are the genesis's


class Handed(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """What a re-sharing came to."""

    began: Position
    transcript: Digest
    public: bytes


class Word(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """What a member says about members, in what it proposes."""

    wish: int = 0  # bit i: replica i shall be a member; 0: nothing new
    handed: Handed | None = None


class Change(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """Under way."""

    target: tuple[ReplicaId, ...]
    began: Position


def short(handed: Handed | None, members: int) -> bool:
    """Whether it is no longer than it can be: 112 bytes for a key, 100 for each member's."""
    return handed is None or (
        len(handed.transcript) <= TRANSCRIPT_DIGEST_BYTES and len(handed.public) <= 112 + 100 * members
    )


def proper(handed: Handed, change: Change) -> bool:
    """Whether it is about this change."""
    return handed.began == change.began and short(handed, len(change.target))


class Roster(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """All there is to know about members as of one position. At most a wish and a `Handed` a member."""

    era: Era
    wishes: tuple[tuple[ReplicaId, int], ...] = ()
    change: Change | None = None
    handed: tuple[tuple[ReplicaId, Handed], ...] = ()
    next: Era | None = None  # agreed on

    @property
    def last(self) -> Position | None:
        """The era's last epoch, once that is certain."""
        return None if self.next is None else self.next.first - 1

    def wish_of(self, replica: ReplicaId) -> int:
        return dict(self.wishes).get(replica, 0)

    def handed_by(self, replica: ReplicaId) -> Handed | None:
        return dict(self.handed).get(replica)


class Members:
    """One era's members, with the thresholds that follow from how many they are."""

    __slots__ = ("_places", "committee", "era")

    def __init__(self, era: Era) -> None:
        self.era = era
        self.committee = Committee(len(era.members))
        self._places = {replica: place for place, replica in enumerate(era.members)}

    def place(self, replica: ReplicaId) -> ReplicaId | None:
        """Its number among the members; None of a learner."""
        return self._places.get(replica)

    def replica(self, place: ReplicaId) -> ReplicaId:
        return self.era.members[place]

    def sound(self, seals: Seals) -> bool:
        """Whether a quorum of different members signed, in ascending order."""
        signers = [signer for signer, _ in seals]
        ascending = all(one < another for one, another in pairwise(signers))
        return ascending and len(signers) >= self.committee.quorum and all(one in self._places for one in signers)


def first_roster(n: int, learners: int) -> Roster:
    """Of a new cluster: everybody but the learners, of whom bit i stands for replica i."""
    return Roster(Era(0, 1, tuple(one for one in range(n) if not learners >> one & 1)))


def entered(roster: Roster) -> Roster:
    """The next era begins, and nothing that was said in the old one counts any more."""
    assert roster.next is not None
    return Roster(roster.next)


def members_of(mask: int, n: int) -> tuple[ReplicaId, ...] | None:
    """The members that a wish names; None if it cannot be one."""
    if not 0 < mask < 1 << n:
        return None
    named = tuple(one for one in range(n) if mask >> one & 1)
    return named if len(named) >= MEMBERS_MIN else None


def mask_of(members: Sequence[ReplicaId]) -> int:
    return sum(1 << one for one in members)


def after(
    roster: Roster, position: Position, words: Sequence[tuple[ReplicaId, Word]], n: int, ahead: int
) -> Roster:
    """The roster as of this position, where these words were ordered. `n`: replicas of the genesis. `ahead`: how many
    epochs behind this one may be under way already."""
    if roster.next is not None or not words:
        return roster
    members = Members(roster.era)
    wishes, handed = dict(roster.wishes), dict(roster.handed)
    for replica, word in words:
        if members.place(replica) is None:
            continue
        if members_of(word.wish, n) is not None:
            wishes[replica] = word.wish
        if word.handed is not None and roster.change is not None and proper(word.handed, roster.change):
            handed[replica] = word.handed
    change = roster.change
    agreed = _agreed(list(handed.values()), members.committee.quorum)
    if agreed is not None and change is not None:
        era = Era(
            roster.era.number + 1, position + ahead + 1, change.target, change.began, agreed.transcript, agreed.public
        )
        return Roster(roster.era, _sorted(wishes), change, _sorted_handed(handed), era)
    wished = _wished(list(wishes.values()), members.committee.quorum)
    target = None if wished is None else members_of(wished, n)
    if target == roster.era.members:
        change, handed = None, {}
    elif target is not None and roster.era.number < CHANGES_MAX and (change is None or change.target != target):
        change, handed = Change(target, position), {}
    return Roster(roster.era, _sorted(wishes), change, _sorted_handed(handed))


def _wished(wishes: Sequence[int], quorum: int) -> int | None:
    return next((one for one in wishes if wishes.count(one) >= quorum), None)


def _agreed(said: Sequence[Handed], quorum: int) -> Handed | None:
    digests = [digest_of(one) for one in said]
    return next((one for one, mine in zip(said, digests, strict=True) if digests.count(mine) >= quorum), None)


def _sorted(wishes: dict[ReplicaId, int]) -> tuple[tuple[ReplicaId, int], ...]:
    return tuple(sorted(wishes.items()))


def _sorted_handed(handed: dict[ReplicaId, Handed]) -> tuple[tuple[ReplicaId, Handed], ...]:
    return tuple((one, handed[one]) for one in sorted(handed))
