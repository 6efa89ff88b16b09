"""The liveness phase: a core of Q correct replicas answers everything in time, whatever the others do, and a cluster
that does not is found out."""

from __future__ import annotations

import pytest

from outvote.protocols.catalogue import protocol
from outvote.protocols.pbft.replica import PbftReplica
from outvote.simulator.checkers.catalogue import CHECKERS
from outvote.simulator.checkers.storms import Storms
from outvote.simulator.checkers.violation import Violation
from outvote.simulator.plan import Fault, Plan
from outvote.simulator.world import World
from outvote.types import MILLISECOND, SECOND

PBFT = protocol("pbft")
END = 2 * SECOND
BUSY = Plan(
    n=4, clients=2, operations_each=30, outstanding=2, pause_max=300 * MILLISECOND, keys=3, delay_mean=3 * MILLISECOND,
    sync_max=2 * MILLISECOND, faults_end=END, deadline=900 * SECOND,
    parameters={"checkpoint_interval": 4, "window": 8, "batch_requests_max": 1, "view_timeout_ms": 300},
)


@pytest.mark.parametrize("how", ["stay-down", "stay-cut"])
@pytest.mark.parametrize("replica", [0, 1, 3])
def test_the_core_goes_on_without_those_left_behind(how: str, replica: int) -> None:
    world = World(BUSY.but(faults=(Fault(END, how, replica, 0),)), PBFT)
    world.run()
    assert world.marks[f"core with others {how.removeprefix('stay-')}"] == 1
    left = world.replicas[replica]
    assert (left.turn is None) == (how == "stay-down")
    if left.turn is not None:
        ahead = max(turn.core.standing().position for turn in world.scene.turns())
        assert left.turn.core.standing().position < ahead


def test_no_more_are_left_behind_than_may_fail_and_never_a_liar() -> None:
    faults = tuple(Fault(END, "stay-down", replica, 0) for replica in range(7))
    world = World(BUSY.but(n=7, operations_each=10, faults=faults, liars=((0, ("silent",)),)), PBFT)
    world.run()
    assert sorted(world.faults.left_behind) == [1]
    with pytest.raises(ValueError, match="one liar too many"):
        world.corrupt(2, ("silent",))


def test_a_cluster_without_a_quorum_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    others = tuple(kind for kind in CHECKERS if kind is not Storms)
    world = World(BUSY, PBFT, checkers=others)

    def silence() -> None:
        for replica in world.replicas[:2]:
            replica.stays_down = True
            replica.crash()

    world.after(END + 1, silence)
    with pytest.raises(Violation, match="liveness: an operation has waited"):
        world.run()


def test_a_protocol_that_never_deposes_a_silent_primary_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PbftReplica, "wake", lambda core: setattr(core, "wake_at", core.now + SECOND))
    others = tuple(kind for kind in CHECKERS if kind is not Storms)
    with pytest.raises(Violation, match="liveness: an operation has waited"):
        World(BUSY.but(liars=((0, ("silent",)),)), PBFT, checkers=others).run()


def test_the_bound_follows_the_grown_timeout() -> None:
    world = World(BUSY.but(liars=((0, ("silent",)),)), PBFT)
    world.run()
    assert 0 < world.liveness.longest_share < 0.5
    core = next(iter(world.scene.turns())).core
    assert isinstance(core, PbftReplica)
    core.state.view_timeout_ns = core.state.config.view_timeout_ns
    core.state.fruitless_views = 3
    assert PBFT.insight.timeout_ns(core) == 4 * 300 * MILLISECOND
    core.state.fruitless_views = 50
    assert PBFT.insight.timeout_ns(core) == PBFT.insight.patience_ns(BUSY.parameters)
