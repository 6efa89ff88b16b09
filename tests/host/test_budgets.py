"""Useless work is bounded a party: so much at once, and so much a second."""

from __future__ import annotations

import pytest

from outvote.host import budgets
from outvote.host.budgets import Budget
from outvote.types import MILLISECOND, SECOND

ANN, BOB = 70000, 70001


def test_a_burst_and_then_a_rate() -> None:
    budget = Budget(3, 10)
    assert [budget.take(ANN, 0) for _ in range(5)] == [True, True, True, False, False]
    assert not budget.take(ANN, 99 * MILLISECOND)
    assert budget.take(ANN, 100 * MILLISECOND)
    assert not budget.take(ANN, 100 * MILLISECOND)
    taken = sum(budget.take(ANN, now * MILLISECOND) for now in range(101, 10_101))
    assert taken == 100


def test_everybody_has_a_budget_of_its_own() -> None:
    budget = Budget(1, 1)
    assert budget.take(ANN, 0)
    assert not budget.allows(ANN, 0)
    assert budget.allows(BOB, 0)
    assert budget.take(BOB, 0)


def test_asking_takes_nothing_and_rest_gives_no_more_than_a_burst() -> None:
    budget = Budget(2, 1)
    for _ in range(9):
        assert budget.allows(ANN, 0)
    assert [budget.take(ANN, 100 * SECOND) for _ in range(3)] == [True, True, False]


def test_full_buckets_are_forgotten_and_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "PARTIES_MAX", 4)
    budget = Budget(1, 1)
    for party in range(9):
        assert budget.take(party, 0)
    assert [size for _, size, _ in budget.sizes()] == [4]
    assert not budget.allows(0, 0)
    assert budget.take(99, 10 * SECOND), "the others are full again, and forgotten"
    assert [size for _, size, _ in budget.sizes()] == [1]
