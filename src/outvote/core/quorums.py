"""Quorum arithmetic for any n, and the reasons in words.

n replicas of which f = floor((n-1)/3) may lie. A quorum is the smallest number q such that any two quorums share
a correct replica: 2q - n >= f + 1, so q = ceil((n + f + 1) / 2). The familiar 2f + 1 is right only for n = 3f + 1:
with n = 5, two sets of 3 may meet in the liar alone.
"""

from __future__ import annotations

from outvote.errors import Mistake


def faults(n: int) -> int:
    """The most liars that n replicas tolerate."""
    return (n - 1) // 3


def quorum(n: int) -> int:
    """The fewest replicas of which any two sets share a correct one; never more than n - f, so it can be met."""
    return (n + faults(n) + 2) // 2


def weak(n: int) -> int:
    """The fewest replicas of which at least one is correct: f + 1."""
    return faults(n) + 1


def check_size(n: int) -> None:
    """Raises Mistake if n replicas cannot form a committee."""
    if not 1 <= n <= 100:
        raise Mistake(f"a cluster has 1 to 100 replicas, not {n}: choose 4 to survive one liar, 7 for two")
