"""Who is rejuvenated when: everybody once a period, never more than f at a time."""

from __future__ import annotations

from itertools import pairwise

import pytest

from outvote.core.quorums import faults
from outvote.core.rejuvenation import repair_ns, schedule, window_of_vulnerability_ns
from outvote.errors import Mistake
from outvote.types import SECOND

SIZES = (4, 5, 7, 10, 13)


def never_more_than_f() -> None:
    """In no turn, and more than f are refused, for every size and every number at once."""
    for n in SIZES:
        for at_once in range(1, n + 1):
            if at_once > faults(n):
                with pytest.raises(Mistake):
                    schedule(n, SECOND, at_once)
            else:
                plan = schedule(n, SECOND, at_once)
                assert all(1 <= len(plan.turn(index).replicas) <= faults(n) for index in range(3 * n))


def test_never_more_than_f_at_a_time() -> None:
    never_more_than_f()


@pytest.mark.parametrize("n", SIZES)
def test_everybody_has_one_turn_a_period(n: int) -> None:
    for at_once in range(1, faults(n) + 1):
        plan = schedule(n, 100 * SECOND, at_once)
        for period in range(3):
            turns = [plan.turn(index) for index in range(period * plan.turns, (period + 1) * plan.turns)]
            assert [one for turn in turns for one in turn.replicas] == list(range(n))
            assert all(period * plan.period_ns < turn.at <= (period + 1) * plan.period_ns for turn in turns)


@pytest.mark.parametrize("n", SIZES)
def test_turns_are_at_least_an_interval_apart_and_nobody_waits_longer_than_a_period(n: int) -> None:
    plan = schedule(n, 100 * SECOND + 7)
    times = [plan.turn(index).at for index in range(4 * n)]
    assert min(later - earlier for earlier, later in pairwise(times)) >= plan.interval_ns
    assert all(times[index + n] - times[index] == plan.period_ns for index in range(3 * n))


def test_too_few_replicas_and_no_period_are_refused_with_advice() -> None:
    with pytest.raises(Mistake, match="take 4 replicas"):
        schedule(3, SECOND)
    with pytest.raises(Mistake, match="take fewer"):
        schedule(7, SECOND, 3)
    with pytest.raises(Mistake, match="longer than 0"):
        schedule(4, 0)


def test_the_window_of_vulnerability() -> None:
    plan = schedule(4, 600 * SECOND)
    assert repair_ns(plan, 30 * SECOND) == 630 * SECOND
    assert window_of_vulnerability_ns(15 * SECOND, repair_ns(plan, 30 * SECOND)) == 660 * SECOND
