"""An adversary who rules the network: PBFT changes views and executes nothing, HoneyBadger goes on, both stay right."""

from __future__ import annotations

import pytest

from outvote.protocols.catalogue import protocol
from outvote.simulator.plan import Plan
from outvote.simulator.scheduler import Hold, Scheduler, contrast
from outvote.simulator.world import World
from outvote.types import MILLISECOND, NEVER, SECOND


@pytest.mark.parametrize("seed", [1, 2])
def test_honeybadger_commits_where_pbft_only_changes_views(seed: int) -> None:
    """Under jitter of ten times a message's delay and the same schedule. Checkers run in both; when the scheduler lets
    go, PBFT answers everything too."""
    leading, leaderless = contrast("pbft", "honeybadger", seed, 30 * SECOND)
    assert leading.answered == 0
    assert leading.views >= 5
    assert leading.answered_then == leading.calls
    assert leaderless.answered == leaderless.calls
    assert leaderless.holds == leading.holds


def test_without_the_scheduler_pbft_answers_under_the_same_jitter() -> None:
    """It is the schedule that stops it, and not the jitter."""
    world = World(
        Plan(seed=1, clients=3, operations_each=10, outstanding=2, delay_min=MILLISECOND, delay_mean=10 * MILLISECOND,
             heavy_tail=True, faults_end=NEVER, deadline=NEVER),
        protocol("pbft"),
    )
    world.start()
    world.run_until(30 * SECOND)
    assert sum(len(client.history) for client in world.clients) == 30


def test_what_is_held_back_arrives_when_the_next_one_is() -> None:
    world = World(Plan(seed=1, faults_end=NEVER, deadline=NEVER), protocol("pbft"), keep_trace=True)
    scheduler = Scheduler(world)
    scheduler.repeat([Hold(0, 0), Hold(50 * MILLISECOND, 1)])
    world.start()
    world.call(0, [("put", ("a", "1"))])
    world.run_until(49 * MILLISECOND)
    assert all(replica.turn is not None and replica.turn.counters.get("PrePrepare_received", 0) == 0
               for replica in world.replicas[1:])
    world.run_until(60 * MILLISECOND)
    assert all(replica.turn is not None and replica.turn.counters["PrePrepare_received"] == 1
               for replica in world.replicas[1:])
    scheduler.end()
    world.run_until(SECOND)
    assert len(world.clients[0].history) == 1
