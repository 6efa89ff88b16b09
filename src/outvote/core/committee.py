"""Who takes part: the size, the thresholds that follow from it, and whose turn it is to lead."""

from __future__ import annotations

from outvote.core import quorums
from outvote.types import ReplicaId, View


class Committee:
    """n replicas numbered from 0. Fixed for the life of an epoch."""

    __slots__ = ("faults", "n", "quorum", "weak")

    def __init__(self, n: int) -> None:
        quorums.check_size(n)
        self.n = n
        self.faults = quorums.faults(n)
        self.quorum = quorums.quorum(n)
        self.weak = quorums.weak(n)

    def leader(self, view: View) -> ReplicaId:
        """Next view, next replica in the array."""
        return view % self.n

    def holds(self, replica: ReplicaId) -> bool:
        return 0 <= replica < self.n
