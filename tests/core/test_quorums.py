"""Quorum arithmetic, exhaustively for every size a committee may have."""

from __future__ import annotations

from itertools import combinations

import pytest

from outvote.core import quorums
from outvote.errors import Mistake

SIZES = range(1, quorums.REPLICAS_MAX + 1)


@pytest.mark.parametrize("n", SIZES)
def test_faults_is_the_most_that_stays_under_a_third(n: int) -> None:
    f = quorums.faults(n)
    assert 3 * f + 1 <= n < 3 * (f + 1) + 1


@pytest.mark.parametrize("n", SIZES)
def test_two_quorums_share_a_correct_replica_and_one_less_would_not(n: int) -> None:
    f, q = quorums.faults(n), quorums.quorum(n)
    assert 2 * q - n >= f + 1
    assert 2 * (q - 1) - n <= f


@pytest.mark.parametrize("n", SIZES)
def test_a_quorum_can_be_met_without_the_liars(n: int) -> None:
    assert quorums.weak(n) <= quorums.quorum(n) <= n - quorums.faults(n)


@pytest.mark.parametrize("n", SIZES)
def test_a_weak_quorum_holds_a_correct_replica_and_one_less_need_not(n: int) -> None:
    assert quorums.weak(n) - 1 == quorums.faults(n)


@pytest.mark.parametrize("n", range(1, 9))
def test_the_arithmetic_agrees_with_counting_sets(n: int) -> None:
    """The same claims without any formula: every pair of sets of each size, the smallest overlap counted."""
    f = quorums.faults(n)

    def safe(size: int) -> bool:
        sets = [frozenset(members) for members in combinations(range(n), size)]
        return all(len(a & b) > f for a in sets for b in sets)

    assert min(size for size in range(n + 1) if safe(size)) == quorums.quorum(n)


def test_the_familiar_sizes() -> None:
    table = [(n, quorums.faults(n), quorums.quorum(n), quorums.weak(n)) for n in (1, 3, 4, 5, 6, 7, 10)]
    assert table == [
        (1, 0, 1, 1),
        (3, 0, 2, 1),
        (4, 1, 3, 2),
        (5, 1, 4, 2),
        (6, 1, 4, 2),
        (7, 2, 5, 3),
        (10, 3, 7, 4),
    ]


@pytest.mark.parametrize("n", [-1, 0, 101, 1 << 40])
def test_an_impossible_size_is_a_mistake_that_says_what_to_choose(n: int) -> None:
    for refuse in (quorums.check_size, quorums.explain):
        with pytest.raises(Mistake, match="choose 4 to survive one liar"):
            refuse(n)


@pytest.mark.parametrize("n", SIZES)
def test_an_explanation_repeats_the_arithmetic(n: int) -> None:
    shown = quorums.explain(n)
    assert (shown.faults, shown.quorum, shown.weak) == (quorums.faults(n), quorums.quorum(n), quorums.weak(n))
    assert shown.overlap == 2 * shown.quorum - n
    assert shown.absent == n - shown.quorum >= shown.faults
    assert all(reason.endswith(".") for reason in shown.reasons)
    assert f"2 * {shown.quorum} - {n} = {shown.overlap}" in str(shown)


def test_five_replicas_buy_no_more_than_four() -> None:
    text = str(quorums.explain(5))
    assert "n = 5   f = 1   quorum = 4   weak quorum = 2" in text
    assert "3 would not do: two such sets share as few as 2 * 3 - 5 = 1, and if that one lies" in text
    assert "5 replicas buy no more liars than 4: still 1" in text
    assert "the next step is 7" in text


def test_the_largest_size_promises_no_larger_step() -> None:
    assert "next step" not in str(quorums.explain(quorums.REPLICAS_MAX))
    assert "the next step is 100" in str(quorums.explain(97))
