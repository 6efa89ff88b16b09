"""Sins that meet: begun late, on top of each other, or several of clients at once. Each was a run that went wrong."""

from __future__ import annotations

import pytest

from outvote.protocols.catalogue import protocol
from outvote.simulator.checkers.violation import Violation
from outvote.simulator.plan import Plan, Sins
from outvote.simulator.runs import run_plan
from outvote.simulator.world import World
from outvote.types import MILLISECOND, SECOND


def plan(seed: int, sins: Sins = (), false_clients: tuple[Sins, ...] = ()) -> Plan:
    """The liar leads first; views are short, so that others do too."""
    return Plan(
        seed=seed, clients=2, operations_each=24, outstanding=3, keys=1, pause_max=SECOND // 5,
        liars=((0, sins),) if sins else (), false_clients=false_clients,
        parameters={"checkpoint_interval": 4, "window": 8, "batch_requests_max": 4, "view_timeout_ms": 100},
        delay_mean=20 * MILLISECOND, faults_end=3 * SECOND, deadline=400 * SECOND,
    )


@pytest.mark.parametrize("sin", ["flood/500ms-2s", "flood@2/1s-", "flood-bytes/500ms-2s", "babble/500ms-", "replay@1"])
def test_what_was_said_before_the_moment_came_is_no_stumbling_block(sin: str) -> None:
    result = run_plan("pbft", plan(1, (sin,)))
    assert result.violation == ""
    assert result.marks[f"lie told: {sin.partition('@')[0].partition('/')[0]}"] > 0


@pytest.mark.parametrize("above", ["hurried-views", "gaps"])
def test_a_number_too_large_for_the_wire_is_not_said(above: str) -> None:
    """The largest that the wire carries, and another lie adds to it."""
    for seed in range(6):
        result = run_plan("pbft", plan(seed, ("far-numbers", above)))
        assert result.violation == ""
        assert result.marks["lie told: far-numbers"] > 0
        assert result.marks[f"lie told: {above}"] > 0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_many_operations_of_lying_clients_on_one_key_are_judged_at_once(seed: int) -> None:
    """Some forty of them: guessing which happened would try more orders than there is time for."""
    world = World(plan(seed, (), (("abandon", "two-bodies"), ("retransmit",))), protocol("pbft"))
    world.run()
    assert len(world.had_executed) >= 20


def test_what_lying_clients_had_executed_is_needed_to_explain_what_honest_ones_saw() -> None:
    """Left out, it makes the same answers impossible."""
    world = World(plan(1, (), (("two-bodies",), ("retransmit",))), protocol("pbft"))
    world.run()
    executed = dict(world.had_executed)
    world.had_executed.clear()
    with pytest.raises(Violation, match="linearizability"):
        world._judge_history()
    world.had_executed.update(executed)
    world._judge_history()
