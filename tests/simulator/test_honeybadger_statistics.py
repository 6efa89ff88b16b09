"""What epochs of HoneyBadger cost in simulated clusters: rounds of agreement and messages, against the formulas.

Everything is drawn from seeds, so a bound of three standard errors is either kept for ever or broken for good.
"""

from __future__ import annotations

from functools import cache

import pytest

from outvote.broadcast.binary_agreement import CoinShare
from outvote.protocols.catalogue import protocol
from outvote.protocols.honeybadger.insight import state_of
from outvote.protocols.honeybadger.messages import Agreeing
from outvote.simulator.plan import Plan
from outvote.simulator.world import World
from outvote.types import MILLISECOND, NEVER, SECOND

HONEYBADGER = protocol("honeybadger")


def ran(n: int, epochs: int) -> World:
    """Calm epochs one after the other, a request each; every message takes a millisecond."""
    plan = Plan(
        seed=n, n=n, clients=1, delay_min=MILLISECOND, faults_end=NEVER, deadline=NEVER,
        parameters={"checkpoint_interval": epochs + 1, "window": 2 * (epochs + 1), "dealer_seed": n},
    )
    world = World(plan, HONEYBADGER)
    world.start()
    for number in range(epochs):
        world.call(0, [("put", ("a", str(number)))])
        world.run_until((number + 1) * SECOND // 4)
    assert [replica.turn and replica.turn.core.standing().position for replica in world.replicas] == [epochs] * n
    return world


@cache
def of_four() -> World:
    return ran(4, 60)


def sent(world: World, kind: str) -> int:
    return sum(replica.turn.counters.get(f"{kind}_sent", 0) for replica in world.replicas if replica.turn is not None)


def rounds(world: World) -> list[list[int]]:
    """By epoch, of each proposer's agreement: how many coins were tossed."""
    found: dict[tuple[int, int], int] = {}
    for replica in world.replicas:
        assert replica.turn is not None
        for epoch, words in state_of(replica.turn.core).said.items():
            for _, message in words:
                if isinstance(message, Agreeing) and isinstance(message.body, CoinShare):
                    place = epoch, message.proposer
                    found[place] = max(found.get(place, 0), message.body.number + 1)
    epochs = sorted({epoch for epoch, _ in found})
    return [[found[epoch, proposer] for proposer in range(world.plan.n)] for epoch in epochs]


def test_agreements_take_the_rounds_that_the_coin_makes_them_take() -> None:
    """All put in 1: 2 on average (standard deviation 1.41), the slowest of 4 takes 3.505 (1.6)."""
    tossed = rounds(of_four())
    assert len(tossed) == 60
    every = [one for epoch in tossed for one in epoch]
    assert abs(sum(every) / len(every) - 2) < 3 * 1.41 / len(every) ** 0.5
    assert abs(sum(map(max, tossed)) / len(tossed) - 3.505) < 3 * 1.6 / len(tossed) ** 0.5


def test_an_epoch_takes_the_messages_that_the_formulas_say() -> None:
    """Of n replicas: n (n - 1)(2n + 1) for the broadcasts, n^2 (n - 1) to open all proposals, and of each agreement of
    R rounds BVAL, AUX, CONF and share a round and a TERM, from each to each."""
    world = of_four()
    n, epochs = 4, 60
    assert sent(world, "Broadcasting") == epochs * HONEYBADGER.formula(n) == epochs * 108
    assert sent(world, "Decrypting") == epochs * n * n * (n - 1)
    assert sent(world, "Agreeing") == sum(n * (n - 1) * (4 * one + 1) for epoch in rounds(world) for one in epoch)


@pytest.mark.parametrize("n", [7, 13])
def test_the_formulas_hold_for_more_replicas(n: int) -> None:
    world = ran(n, 1)
    assert sent(world, "Broadcasting") == n * (n - 1) * (2 * n + 1)
    assert sent(world, "Decrypting") == n * n * (n - 1)
    assert sent(world, "Agreeing") == sum(n * (n - 1) * (4 * one + 1) for one in rounds(world)[0])
