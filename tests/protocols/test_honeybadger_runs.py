"""HoneyBadgerBFT in simulated clusters: faults, lies, power failures, and how many messages an epoch takes."""

from __future__ import annotations

from typing import Any

import pytest

from outvote.protocols.catalogue import PROTOCOLS
from outvote.simulator.plan import Fault, Plan
from outvote.simulator.runs import run_seed
from outvote.simulator.swarm import draw
from outvote.simulator.world import World
from outvote.types import MILLISECOND, SECOND

HONEYBADGER = PROTOCOLS["honeybadger"]


def plan(**changes: Any) -> Plan:
    """A calm run of a few operations."""
    calm = draw(0).but(
        seed=1, n=4, clients=2, operations_each=4, outstanding=2, pause_max=0, loss=0.0, duplication=0.0,
        delay_min=MILLISECOND, delay_mean=MILLISECOND, sync_max=MILLISECOND, clock_offset_max=0,
        clock_drift_ppm_max=0, liars=(), faults=(), faults_end=2 * SECOND, deadline=120 * SECOND, parameters={},
    )
    return calm.but(**changes)


@pytest.mark.parametrize("seed", [700, 703, 705])
def test_a_short_swarm(seed: int) -> None:
    result = run_seed("honeybadger", seed)
    assert result.ok, result.violation


@pytest.mark.parametrize("lie", sorted(HONEYBADGER.lies))
def test_no_lie_of_its_own_breaks_it(lie: str) -> None:
    World(plan(seed=3, liars=((2, (lie,)),)), HONEYBADGER).run()


def lagging(seed: int, loss: float) -> None:
    """A replica is away for a second and asks for the outputs that it missed; who is asked may lie."""
    faults = (Fault(5 * MILLISECOND, "crash", 3, 1), Fault(SECOND, "restart", 3, 0))
    World(plan(seed=seed, loss=loss, liars=((2, ("false-outputs",)),), faults=faults), HONEYBADGER).run()


def test_a_laggard_believes_no_single_liar_s_outputs() -> None:
    for seed in range(1, 9):
        lagging(seed, 0.0)


def test_all_have_one_order_though_messages_are_lost() -> None:
    for seed in range(1, 9):
        lagging(seed, 0.3)


def test_power_failures_of_all_at_once_take_nothing_back() -> None:
    faults = []
    for step in range(3):
        at = (50 + 300 * step) * MILLISECOND
        for replica in range(4):
            faults.append(Fault(at, "crash", replica, 1 + (3 * replica) % 7))
            faults.append(Fault(at + SECOND // 9, "restart", replica, 0))
    parameters = {"checkpoint_interval": 2, "window": 4}
    world = World(plan(faults=tuple(sorted(faults)), pause_max=SECOND // 4, parameters=parameters), HONEYBADGER)
    world.run()
    assert sum(replica.crashes for replica in world.replicas) >= 6


def test_broadcasts_take_as_many_messages_as_the_formula_says() -> None:
    """VAL n - 1, ECHO and READY n (n - 1) each, in each of n broadcasts."""
    for n in (4, 5):
        world = World(plan(n=n, clients=1, operations_each=0, delay_mean=0, sync_max=0), HONEYBADGER)
        world.start()
        world.call(0, [("put", ("a", "1"))])
        world.run_until(150 * MILLISECOND)
        counters = [replica.turn.counters for replica in world.replicas if replica.turn is not None]
        assert [one.get("delivered", 0) for one in counters] == [1] * n
        assert sum(one.get("Broadcasting_sent", 0) for one in counters) == HONEYBADGER.formula(n)


@pytest.mark.parametrize("lie", ["", "false-shares"])
def test_with_real_threshold_keys(lie: str) -> None:
    """Where their library is installed (the extra `threshold`)."""
    pytest.importorskip("py_arkworks_bls12381")
    liars = ((2, (lie,)),) if lie else ()
    calm = plan(clients=1, operations_each=2, liars=liars, parameters={"real_threshold": 1, "dealer_seed": 5})
    World(calm, HONEYBADGER).run()
