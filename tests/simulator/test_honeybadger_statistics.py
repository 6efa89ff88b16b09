"""What epochs of HoneyBadger cost in simulated clusters: rounds of agreement and messages, against the formulas.

Everything is drawn from seeds, so a bound of three standard errors is either kept for ever or broken for good.
"""

from __future__ import annotations

from functools import cache

import pytest

from epochs import (
    HONEYBADGER,
    agreements_expected,
    broadcasts_expected,
    different_expected,
    different_requests,
    openings_expected,
    ran,
    rounds,
    sent,
    slowest_expected,
)
from outvote.simulator.world import World


@cache
def of_four() -> World:
    return ran(4, 60)


def test_agreements_take_the_rounds_that_the_coin_makes_them_take() -> None:
    """All put in 1: 2 on average (standard deviation 1.41), the slowest of 4 takes 3.505 (1.6)."""
    tossed = rounds(of_four())
    assert len(tossed) == 60
    every = [one for epoch in tossed for one in epoch]
    assert abs(sum(every) / len(every) - 2) < 3 * 1.41 / len(every) ** 0.5
    assert abs(sum(map(max, tossed)) / len(tossed) - 3.505) < 3 * 1.6 / len(tossed) ** 0.5


def test_the_slowest_of_some_agreements_is_what_the_paper_says() -> None:
    assert round(slowest_expected(4), 3) == 3.505
    assert round(slowest_expected(32), 3) == 6.355


@pytest.mark.parametrize("n", [4, 7])
def test_an_epoch_has_as_many_different_requests_as_the_paper_says(n: int) -> None:
    found = different_requests(n, 60)
    assert abs(sum(found) / len(found) / different_expected(n) - 1) < 0.01


def test_an_epoch_takes_the_messages_that_the_formulas_say() -> None:
    world = of_four()
    assert sent(world, "Broadcasting") == 60 * broadcasts_expected(4) == 60 * HONEYBADGER.formula(4) == 60 * 108
    assert sent(world, "Decrypting") == 60 * openings_expected(4)
    assert sent(world, "Agreeing") == agreements_expected(4, rounds(world))


@pytest.mark.parametrize("n", [7, 13])
def test_the_formulas_hold_for_more_replicas(n: int) -> None:
    world = ran(n, 1)
    assert sent(world, "Broadcasting") == broadcasts_expected(n)
    assert sent(world, "Decrypting") == openings_expected(n)
    assert sent(world, "Agreeing") == agreements_expected(n, rounds(world))
