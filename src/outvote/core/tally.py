"""Votes by value: one vote a voter, seals kept for certificates.

A voter's first vote stands; a second one, equal or not, changes nothing. So a liar adds at most one to one value.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from outvote.core.certificates import Seals
from outvote.types import ReplicaId, Seal

Value = TypeVar("Value")


class Tally(Generic[Value]):
    """Votes of one kind in one place. Holds at most one entry a replica."""

    __slots__ = ("_by_value", "_voters")

    def __init__(self) -> None:
        self._voters: dict[ReplicaId, Value] = {}
        self._by_value: dict[Value, dict[ReplicaId, Seal]] = {}

    def add(self, voter: ReplicaId, value: Value, seal: Seal) -> bool:
        """Count a vote; False if this voter has voted here before."""
        if voter in self._voters:
            return False
        self._voters[voter] = value
        self._by_value.setdefault(value, {})[voter] = seal
        return True

    def has(self, voter: ReplicaId) -> bool:
        return voter in self._voters

    def vote_of(self, voter: ReplicaId) -> Value | None:
        return self._voters.get(voter)

    def count(self, value: Value) -> int:
        votes = self._by_value.get(value)
        return len(votes) if votes is not None else 0

    def seals(self, value: Value, limit: int) -> Seals:
        """The seals of the `limit` lowest-numbered voters for a value: a certificate needs no more."""
        votes = self._by_value.get(value, {})
        return tuple((voter, votes[voter]) for voter in sorted(votes)[:limit])

    def voters(self, value: Value) -> tuple[ReplicaId, ...]:
        """Everybody who voted for a value, ascending."""
        return tuple(sorted(self._by_value.get(value, ())))

    def leading(self, threshold: int) -> Value | None:
        """A value with at least `threshold` votes."""
        for value, votes in self._by_value.items():
            if len(votes) >= threshold:
                return value
        return None
