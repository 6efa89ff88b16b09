"""Clocks that are off, drift, jump and stand still, and processes that are stopped: all happen and are survived."""

from __future__ import annotations

import pytest

from outvote.protocols.catalogue import protocol
from outvote.simulator.clocks import WALL_START_NS, SkewedClock
from outvote.simulator.plan import Fault, Plan
from outvote.simulator.runs import run_plan
from outvote.simulator.world import World
from outvote.types import MILLISECOND, NEVER, SECOND, Nanos

PBFT = protocol("pbft")


class Time:
    def __init__(self) -> None:
        self.now: Nanos = 0

    def __call__(self) -> Nanos:
        return self.now


def test_offset_and_drift() -> None:
    time = Time()
    clock = SkewedClock(time, -10 * SECOND, 100_000)
    time.now = 10 * SECOND
    assert clock.now() == 11 * SECOND
    assert clock.wall() == WALL_START_NS + SECOND
    assert clock.true_delay(11 * SECOND) == 10 * SECOND + 1
    assert SkewedClock(time, 0, -100_000).now() == 9 * SECOND


def test_a_frozen_clock_goes_on_where_it_stood() -> None:
    time = Time()
    clock = SkewedClock(time, 0, 0)
    time.now = SECOND
    clock.freeze()
    time.now = 5 * SECOND
    assert (clock.now(), clock.wall()) == (SECOND, WALL_START_NS + SECOND)
    assert clock.true_delay(1) == NEVER
    clock.thaw()
    time.now = 6 * SECOND
    assert clock.now() == 2 * SECOND


def test_the_monotonic_clock_leaps_but_never_goes_back() -> None:
    time = Time()
    clock = SkewedClock(time, 0, 0)
    clock.jump_wall(-5 * SECOND)
    assert (clock.now(), clock.wall()) == (0, WALL_START_NS - 5 * SECOND)
    clock.leap(3 * SECOND)
    assert (clock.now(), clock.wall()) == (3 * SECOND, WALL_START_NS - 2 * SECOND)
    with pytest.raises(ValueError, match="never goes back"):
        clock.leap(-1)


def test_a_clock_that_is_set_right_stays_right() -> None:
    time = Time()
    clock = SkewedClock(time, 10 * SECOND, 100_000)
    time.now = 100 * SECOND
    clock.freeze()
    before = clock.now()
    clock.discipline(2 * SECOND)
    time.now = 200 * SECOND
    assert clock.wall() == WALL_START_NS + 202 * SECOND
    assert clock.now() > before, "its timers run on"


BUSY = Plan(
    n=4, clients=2, operations_each=30, outstanding=2, pause_max=100 * MILLISECOND, keys=3, delay_mean=3 * MILLISECOND,
    sync_max=2 * MILLISECOND, faults_end=3 * SECOND, deadline=300 * SECOND,
    parameters={"checkpoint_interval": 4, "window": 8, "batch_requests_max": 1, "view_timeout_ms": 200},
)


def at(milliseconds: int, kind: str, replica: int, other: int = 0) -> Fault:
    return Fault(milliseconds * MILLISECOND, kind, replica, other)


RUNS = {
    "views entered": BUSY.but(clock_offset_max=10 * SECOND, clock_drift_ppm_max=100_000),
    "fault: set-wall": BUSY.but(faults=(at(300, "set-wall", 0, 10 * SECOND), at(900, "set-wall", 0, -10 * SECOND))),
    "fault: leap": BUSY.but(faults=(at(300, "leap", 1, 7 * SECOND), at(600, "leap", 0, 7 * SECOND))),
    "fault: freeze": BUSY.but(faults=(at(300, "freeze", 0), at(1500, "thaw", 0), at(700, "freeze", 2))),
    "fault: pause": BUSY.but(faults=(at(300, "pause", 0), at(1500, "resume", 0), at(700, "pause", 2))),
}


@pytest.mark.parametrize("mark", RUNS)
def test_a_cluster_survives_it(mark: str) -> None:
    happened = 0
    for seed in range(5):
        result = run_plan("pbft", RUNS[mark].but(seed=seed))
        assert result.violation == ""
        happened += result.marks.get(mark, 0)
    assert happened > 0


def test_clocks_further_apart_than_the_tolerance_are_set_right_when_the_world_heals() -> None:
    """Up to then honest primaries are refused and views change; that is PBFT's bound on lying primaries at work. What
    was prepared once is accepted later without another look at the clock."""
    world = World(BUSY.but(faults=(at(0, "set-wall", 0, -15 * SECOND), at(0, "set-wall", 1, 15 * SECOND))), PBFT)
    world.run()
    assert world.marks["views entered"] > 0
    walls = [replica.clock.wall() for replica in world.replicas]
    assert max(walls) - min(walls) <= 4 * SECOND


def test_a_paused_replica_does_nothing_and_then_hears_everything() -> None:
    world = World(BUSY.but(faults_end=NEVER, deadline=NEVER), PBFT)
    world.start()
    world.run_until(500 * MILLISECOND)
    paused = world.replicas[2]
    paused.pause()
    before, heard = paused.describe(), world.delivered
    world.run_until(900 * MILLISECOND)
    assert paused.describe() == before
    assert world.delivered > heard
    heard = world.delivered
    paused.resume()
    assert world.delivered > heard + 10, "what came in meanwhile is heard at once"
    world.run_until(1500 * MILLISECOND)
    assert paused.describe() != before


def test_a_paused_replica_can_be_killed_and_comes_back() -> None:
    faults = (at(300, "pause", 1), at(1000, "restart", 1), at(1200, "resume", 1))
    world = World(BUSY.but(faults=faults), PBFT)
    world.after(600 * MILLISECOND, world.replicas[1].crash)
    world.run()
    assert world.replicas[1].crashes == 1
    assert not world.replicas[1].paused
