"""Twins: the small scenarios are counted, all hold, and what is planted is found."""

from __future__ import annotations

from itertools import product

import pytest

from outvote.core import quorums
from outvote.errors import Mistake
from outvote.protocols.catalogue import PBFT
from outvote.simulator.campaigns import twins
from outvote.simulator.campaigns.running import run_case
from outvote.simulator.runs import run_plan
from outvote.simulator.world import World


def test_the_small_scenarios_are_counted() -> None:
    """One round led by the twin, by hand. A side with a quorum has three identities, so the other side has at most one
    correct replica: all together (1), a copy apart (1), both copies apart (1), a correct replica apart with no copy, or
    with one (2). Both copies with the one apart leave two identities on the other side, which is idle."""
    one_round = twins.every(1, led_by_twin=True)
    assert len(one_round) == 5
    assert {tuple(sorted(map(len, scenario.rounds[0].sides))) for scenario in one_round} == {(5,), (1, 4), (2, 3)}
    assert (len(twins.every(2, False)), len(twins.every(3, True))) == (484, 487)
    assert not any(scenario.is_idle() for scenario in twins.every(2, False))


def test_symmetry_loses_no_scenario() -> None:
    """Every scenario of one round is a renaming of one that is kept."""
    kept = set()
    for scenario in twins.every(1, led_by_twin=False):
        kept.add(_shape(scenario))
    for leader, bits in product(range(4), range(16)):
        sides = _sides(1 | bits << 1)
        scenario = twins.Scenario(4, (0,), (twins.Round(leader, sides),))
        if not scenario.is_idle():
            assert _shape(scenario) in kept


def _sides(bits: int) -> tuple[tuple[int, ...], ...]:
    here = tuple(place for place in range(5) if bits >> place & 1)
    there = tuple(place for place in range(5) if not bits >> place & 1)
    return (here, there) if there else (here,)


def _shape(scenario: twins.Scenario) -> tuple[object, ...]:
    """What renaming leaves as it is: how many correct replicas and copies a side has, and where the leader is."""
    (one,) = scenario.rounds
    sides = sorted(
        (sum(place in (1, 2, 3) for place in side), sum(place in (0, 4) for place in side), one.leader in side)
        for side in one.sides
    )
    return one.leader == 0, *((correct, copies, leads and one.leader != 0) for correct, copies, leads in sides)


@pytest.mark.parametrize("number", range(0, 484, 20))
def test_small_scenarios_hold(number: int) -> None:
    assert run_case("pbft", f"twins:all-2:{number}").violation == ""


@pytest.mark.parametrize("number", range(12))
def test_random_scenarios_hold_and_have_the_form_that_they_claim(number: int) -> None:
    scenario = twins.draw(number)
    assert 4 <= len(scenario.rounds) <= twins.ROUNDS_MAX
    assert 1 <= len(scenario.twins) <= quorums.faults(scenario.n)
    for one in scenario.rounds:
        places = sorted(place for side in one.sides for place in side)
        assert places == list(range(scenario.n + len(scenario.twins)))
    assert run_case("pbft", f"twins:random:{number}").violation == ""


def test_leaders_are_those_of_the_scenario_and_partitions_hold_until_the_world_heals() -> None:
    scenario = twins.Scenario(4, (1,), (twins.Round(3, ((0, 1, 2, 3, 4),)), twins.Round(1, ((0, 1), (2, 3, 4)))))
    world = World(twins.plan_of(PBFT, scenario, 5), PBFT, keep_trace=True)
    world.run()
    assert [world.committee.leader(view) for view in range(5)] == [3, 1, 2, 3, 0]
    ends_ns = world.plan.faults_end
    before = [line for line in world.trace.lines if float(line.split("ms")[0]) * 1e6 < ends_ns]
    ordering = [line for line in before if "<-" in line and "view=1 position" in line]
    crossing = [
        line for line in ordering
        if (line.split()[1] in ("0", "1")) != (line.split()[3] in ("0", "1")) and line.split()[3] != "1"
    ]
    assert not crossing, "nobody but the twin speaks on both sides"
    assert world.marks["messages kept on their side"] > 0


def test_a_quorum_that_is_too_small_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def weak(n: int) -> int:
        return quorums.faults(n) + 1

    monkeypatch.setattr("outvote.core.committee.quorums.quorum", weak)
    cases = [f"all-2:{number}" for number in range(200)]
    assert any(run_plan("pbft", twins.plan(PBFT, case)).violation for case in cases)


@pytest.mark.parametrize("name", ["", "random", "random:x", "all:3", "all-2:9999", "some-2:1", "all-9:1", "led-0:0"])
def test_a_scenario_that_does_not_exist_is_a_mistake(name: str) -> None:
    with pytest.raises(Mistake):
        twins.plan(PBFT, name)
