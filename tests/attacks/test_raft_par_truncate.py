"""A sector of what was committed goes bad, on one disk and on two; and a write is torn at the end of a log.

Passes if nothing that may be committed is ever cut off. A replica that can tell by the identifiers what it has lost
comes up, and has it mended by the others; without them, or where they are lost as well, it does not start, says so, and
leaves its disk as it is: with one such replica of three the others go on. tests/protocols/test_raft_repair.py has
the cases one by one.
"""

from __future__ import annotations

import pytest

from outvote.protocols.catalogue import protocol
from outvote.simulator.plan import Fault, Plan
from outvote.simulator.world import World
from outvote.types import MILLISECOND, SECOND, ReplicaId

RAFT = protocol("raft")


def rotten(*replicas: ReplicaId, repair: int = 1) -> World:
    """Some operations, then a sector of these replicas' logs goes bad while they are down, and they are started."""
    faults = []
    for step, replica in enumerate(replicas):
        at = 1500 * MILLISECOND
        faults += [
            Fault(at, "rot-sector", replica, 4 + step), Fault(at + 1, "crash", replica, 1),
            Fault(2 * SECOND, "restart", replica, 0),
        ]
    plan = Plan(
        seed=3, n=5 if len(replicas) > 1 else 3, clients=2, operations_each=40, pause_max=60 * MILLISECOND,
        faults=tuple(sorted(faults)), faults_end=2500 * MILLISECOND, deadline=60 * SECOND,
        parameters={"view_timeout_ms": 200, "checkpoint_interval": 64, "window": 128, "repair": repair},
    )
    return World(plan, RAFT, keep_trace=True)


@pytest.mark.parametrize("replicas", [(1,), (1, 2)])
def test_a_replica_with_a_damaged_log_comes_up_and_is_mended(replicas: tuple[ReplicaId, ...]) -> None:
    world = rotten(*replicas)
    world.run()
    assert [world.replicas[one].disk.counts["disk: rot passed by"] for one in replicas] == [1] * len(replicas)
    assert any("QueryEntries" in line for line in world.trace.lines)
    last = max(replica.turn.executor.position for replica in world.replicas if replica.turn is not None)
    for replica in replicas:
        turn = world.replicas[replica].turn
        assert turn is not None
        assert not turn.core.state.repair.faulty  # type: ignore[attr-defined]
        assert turn.executor.position >= last - 1, "the last entry may still be on its way"


@pytest.mark.parametrize("replicas", [(1,), (1, 2)])
def test_without_identifiers_it_does_not_start_and_the_others_go_on(replicas: tuple[ReplicaId, ...]) -> None:
    world = rotten(*replicas, repair=0)
    world.run()
    for replica in replicas:
        assert world.replicas[replica].turn is None
        assert any(f" {replica} stops" in line and "nothing behind them tells" in line for line in world.trace.lines)
    assert world.marks["refused to start on rot"] >= len(replicas)


def test_a_torn_write_at_the_end_is_cut_off_and_nothing_else() -> None:
    faults = (
        Fault(0, "crash-tears", 1, 7), Fault(0, "crash", 1, 60), Fault(SECOND, "restart", 1, 0),
    )
    plan = Plan(
        seed=5, n=3, clients=2, operations_each=40, pause_max=60 * MILLISECOND, faults=faults,
        sync_max=20 * MILLISECOND, faults_end=2 * SECOND, deadline=60 * SECOND, parameters={"view_timeout_ms": 200},
    )
    world = World(plan, RAFT)
    world.run()
    assert world.replicas[1].crashes == 1
    assert world.replicas[1].turn is not None
