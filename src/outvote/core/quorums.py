"""Quorum arithmetic for any n, and the reasons in words.

n replicas of which f = floor((n-1)/3) may lie. A quorum is the smallest number q such that any two quorums
share a correct replica: 2q - n >= f + 1, so q = ceil((n + f + 1) / 2). The familiar 2f + 1 is right only for
n = 3f + 1: with n = 5, two sets of 3 may meet in the liar alone.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from outvote.errors import Mistake

REPLICAS_MAX: Final = 100  # each talks to each: 100 * 99 links, 100 votes a phase and position


class Explanation(NamedTuple):
    """What n replicas buy, and why; `str` gives it as lines for a terminal."""

    n: int
    faults: int  # liars tolerated
    quorum: int
    weak: int
    overlap: int  # the fewest replicas that two quorums share
    absent: int  # replicas that may be silent while the others still go on
    reasons: tuple[str, ...]  # one sentence each

    def __str__(self) -> str:
        head = f"n = {self.n}   f = {self.faults}   quorum = {self.quorum}   weak quorum = {self.weak}"
        return "\n".join((head, *(f"- {reason}" for reason in self.reasons)))


def faults(n: int) -> int:
    """The most liars that n replicas tolerate."""
    return (n - 1) // 3


def quorum(n: int) -> int:
    """The fewest of which any two sets share a correct replica; never more than n - f, so it can be met."""
    return (n + faults(n) + 2) // 2


def weak(n: int) -> int:
    """The fewest replicas of which at least one is correct: f + 1."""
    return faults(n) + 1


def crash_faults(n: int) -> int:
    """The most that may crash where nobody lies."""
    return (n - 1) // 2


def majority(n: int) -> int:
    """The fewest of which any two sets share a replica: enough where nobody lies."""
    return n // 2 + 1


def check_size(n: int) -> None:
    """Raises Mistake if n replicas cannot form a committee."""
    if not 1 <= n <= REPLICAS_MAX:
        raise Mistake(
            f"a cluster has 1 to {REPLICAS_MAX} replicas, not {n}: choose 4 to survive one liar, 7 for two"
        )


def explain(n: int) -> Explanation:
    """Every number of a committee of n with its arithmetic. Raises Mistake as `check_size` does."""
    check_size(n)
    f, q = faults(n), quorum(n)
    overlap = 2 * q - n
    reasons = (
        f"Liars tolerated: {f}, because 3f + 1 = {3 * f + 1} is at most {n}; f = {f + 1} needs {3 * f + 4}"
        " replicas.",
        f"Any two quorums of {q} share at least 2 * {q} - {n} = {overlap} replicas: more than the {f} that"
        " may lie, so a correct one is among them and will not back two decisions.",
        _one_less(n, q),
        f"A quorum can be met without the liars: {n} - {f} = {n - f} replicas are left. Of all {n},"
        f" {n - q} may be silent before the others have to wait.",
        f"Among {f + 1} equal answers (a weak quorum) at least one is a correct replica's;"
        f" {f} could all be lies.",
        _size_advice(n, f, q),
    )
    return Explanation(n, f, q, f + 1, overlap, n - q, reasons)


def _one_less(n: int, q: int) -> str:
    """Why q - 1 is too few."""
    shared = 2 * (q - 1) - n
    if q == 1:
        return "A quorum of 0 would decide without anybody."
    if shared <= 0:
        return f"{q - 1} would not do: two such sets need not share anybody, so each could decide alone."
    return (
        f"{q - 1} would not do: two such sets share as few as 2 * {q - 1} - {n} = {shared}, and if"
        f" {'that one lies' if shared == 1 else f'those {shared} lie'} to each set differently, both decide."
    )


def _size_advice(n: int, f: int, q: int) -> str:
    """Whether another size would serve better."""
    smallest = 3 * f + 1
    more = f"; the next step is {smallest + 3}" if smallest + 3 <= REPLICAS_MAX else ""
    if n == 1:
        return f"One replica alone tolerates nothing{more}."
    if n == smallest:
        return f"{n} is the smallest size for f = {f}: one replica less would tolerate fewer liars{more}."
    extra = (n - q) - (smallest - quorum(smallest))
    buys = f"though {extra} more may be silent" if extra else "and no more of them may be silent"
    return (
        f"{n} replicas buy no more liars than {smallest}: still {f}, with a quorum of {q} instead of"
        f" {quorum(smallest)}, {buys}{more}."
    )
