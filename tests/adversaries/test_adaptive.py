"""The adversary that chooses while the run goes on takes who is about to lead, and never more than f."""

from __future__ import annotations

import pytest

from outvote.core import quorums
from outvote.protocols.catalogue import protocol
from outvote.simulator.adversaries.behaviour import TraitorVoice
from outvote.simulator.plan import Fault, Plan
from outvote.simulator.runs import run_plan
from outvote.simulator.world import World
from outvote.types import FIRST_CLIENT, MILLISECOND, SECOND


def hunted(seed: int, n: int = 4, sins: tuple[str, ...] = ("silent",)) -> Plan:
    return Plan(
        seed=seed, n=n, clients=2, operations_each=15, outstanding=2, keys=2, pause_max=SECOND // 3, adaptive=sins,
        parameters={"checkpoint_interval": 4, "window": 8, "batch_requests_max": 4, "view_timeout_ms": 300},
        delay_mean=3 * MILLISECOND, faults_end=4 * SECOND, deadline=400 * SECOND,
    )


def corrupted(world: World) -> list[int]:
    return sorted(one for one in world.liars if one < FIRST_CLIENT)


@pytest.mark.parametrize(("n", "seed"), [(4, 1), (4, 2), (7, 3), (7, 4), (10, 5)])
def test_it_takes_the_first_leaders_and_stops_at_f(n: int, seed: int) -> None:
    """A silent primary loses its view, so the next one is due: with f corrupted there must have been view changes."""
    world = World(hunted(seed, n), protocol("pbft"), keep_trace=True)
    world.run()
    assert len(corrupted(world)) == quorums.faults(n)
    assert set(corrupted(world)) <= set(range(quorums.faults(n) + 1)), "whoever leads now, or next"
    assert world.marks["corrupted while running"] == quorums.faults(n)
    assert world.marks["lie told: silent"] == 1
    assert all(client.finished for client in world.clients)


@pytest.mark.parametrize("seed", range(6))
def test_f_is_shared_with_liars_and_with_disks_that_forget(seed: int) -> None:
    plan = hunted(seed, 7).but(
        liars=((5, ("equivocate",)),),
        faults=tuple(Fault(at * 100 * MILLISECOND, "lose", (at * 3) % 7, 0) for at in range(1, 30)),
    )
    world = World(plan, protocol("pbft"))
    world.run()
    assert 5 in corrupted(world)
    assert len(corrupted(world)) == 2


def test_one_more_than_f_is_refused() -> None:
    world = World(hunted(1).but(adaptive=(), liars=((2, ()),)), protocol("pbft"))
    with pytest.raises(ValueError, match="one liar too many"):
        world.corrupt(1, ("silent",))


def test_who_is_corrupted_while_running_lies_about_states_too() -> None:
    """State transfer speaks through the same voice as everything else."""
    world = World(hunted(1).but(adaptive=()), protocol("pbft"))
    world.start()
    world.corrupt(0, ("spoil-transfers",))
    turn = world.replicas[0].turn
    assert turn is not None
    assert isinstance(turn.voice, TraitorVoice)
    assert turn._restoring.voice is turn.voice


def test_honest_keys_stay_out_of_reach_until_then() -> None:
    world = World(hunted(1), protocol("pbft"))
    assert world.ring.voices == {}
    world.run()
    assert sorted(world.ring.voices) == corrupted(world)


def test_a_run_is_its_seed() -> None:
    plan = hunted(7, 7, ("equivocate", "slow"))
    assert run_plan("pbft", plan).digest == run_plan("pbft", plan).digest


def test_without_sins_there_is_no_such_adversary() -> None:
    assert "corrupted while running" not in run_plan("pbft", hunted(1, sins=())).marks
