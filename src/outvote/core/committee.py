"""Who takes part: the size, the thresholds that follow from it, and whose turn it is to lead."""

from __future__ import annotations

from typing import Literal

from outvote.core import quorums
from outvote.types import ReplicaId, View

Tolerates = Literal["lies", "crashes"]  # what a protocol's replicas may do wrong


class Committee:
    """n replicas numbered from 0. Fixed for the life of an epoch."""

    __slots__ = ("faults", "liars", "n", "quorum", "tolerates", "weak")

    def __init__(self, n: int, tolerates: Tolerates = "lies") -> None:
        quorums.check_size(n)
        self.n = n
        self.tolerates: Tolerates = tolerates
        crashes = tolerates == "crashes"
        self.faults = quorums.crash_faults(n) if crashes else quorums.faults(n)  # how many may fail
        self.liars = 0 if crashes else self.faults  # how many of them may lie
        self.quorum = quorums.majority(n) if crashes else quorums.quorum(n)
        self.weak = self.liars + 1  # so many say the same: one of them is correct

    def leader(self, view: View) -> ReplicaId:
        """Next view, next replica in the array."""
        return view % self.n

    def holds(self, replica: ReplicaId) -> bool:
        return 0 <= replica < self.n
