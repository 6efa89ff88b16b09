"""Who votes and who learns: a configuration of the cluster, which is an entry of the log like any other.

While voters change, the old and the new ones must both agree (joint consensus, section 6 of the paper): there is no
moment at which two disjoint sets could each elect a leader.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from outvote.core.contract import Struct
from outvote.types import Position, ReplicaId


class Members(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """Replicas in ascending order; `outgoing` are the old voters while a change is under way, else nobody."""

    voters: tuple[ReplicaId, ...]
    outgoing: tuple[ReplicaId, ...] = ()

    @property
    def joint(self) -> bool:
        return bool(self.outgoing)

    def votes(self, replica: ReplicaId) -> bool:
        return replica in self.voters or replica in self.outgoing

    def agree(self, said: Collection[ReplicaId]) -> bool:
        """Whether these are a majority: of the new voters and of the old."""
        return _majority(self.voters, said) and (not self.outgoing or _majority(self.outgoing, said))

    def held(self, matched: Mapping[ReplicaId, Position], live: Collection[ReplicaId]) -> Position:
        """The highest position that witnesses may be told of: as many of the voters that keep data have come to it as
        make a majority, or, where fewer of them are `live`, as many as are. `matched`: of those that keep data."""
        position = _held(self.voters, matched, live)
        return min(position, _held(self.outgoing, matched, live)) if self.outgoing else position

    def reached(self, matched: Mapping[ReplicaId, Position]) -> Position:
        """The highest position that a majority has come to: of the new voters and of the old."""
        position = _reached(self.voters, matched)
        return min(position, _reached(self.outgoing, matched)) if self.outgoing else position


def first_members(n: int, learners: int) -> Members:
    """Of a new cluster: everybody but the learners, of whom bit i stands for replica i."""
    return Members(tuple(replica for replica in range(n) if not learners >> replica & 1))


def _majority(voters: Collection[ReplicaId], said: Collection[ReplicaId]) -> bool:
    return sum(1 for voter in voters if voter in said) > len(voters) // 2


def _reached(voters: Collection[ReplicaId], matched: Mapping[ReplicaId, Position]) -> Position:
    positions = sorted((matched.get(voter, 0) for voter in voters), reverse=True)
    return positions[len(voters) // 2]


def _held(
    voters: Collection[ReplicaId], matched: Mapping[ReplicaId, Position], live: Collection[ReplicaId]
) -> Position:
    positions = sorted((matched[voter] for voter in voters if voter in matched), reverse=True)
    copies = min(len(voters) // 2 + 1, max(1, sum(1 for voter in voters if voter in matched and voter in live)))
    return positions[copies - 1] if len(positions) >= copies else 0
