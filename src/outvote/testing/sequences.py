"""A test as a list of steps, which Hypothesis can make and shrink: calls of several clients, and faults in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec

from outvote.errors import Unanswered
from outvote.testing.cluster import Caller, Pending, SimulatedCluster
from outvote.types import ReplicaId

GAP_S = 0.005  # of virtual time behind a step that is not waited for: about one message


class Call(msgspec.Struct, frozen=True):
    """An operation of one client; if `wait` is False the next step begins before it is answered."""

    name: str
    arguments: tuple[Any, ...] = ()
    client: int = 0
    wait: bool = True


class Crash(msgspec.Struct, frozen=True):
    """See SimulatedCluster.crash."""

    replica: ReplicaId


class Restart(msgspec.Struct, frozen=True):
    """See SimulatedCluster.restart."""

    replica: ReplicaId


class Partition(msgspec.Struct, frozen=True):
    """These replicas on one side, all others on the other."""

    side: tuple[ReplicaId, ...]


class Heal(msgspec.Struct, frozen=True):
    """See SimulatedCluster.heal."""


class Corrupt(msgspec.Struct, frozen=True):
    """See SimulatedCluster.corrupt; without effect if f replicas lie already."""

    replica: ReplicaId
    behaviour: str


Step: TypeAlias = Call | Crash | Restart | Partition | Heal | Corrupt


def run_sequence(cluster: SimulatedCluster[Any], steps: Sequence[Step]) -> list[Any]:
    """Take the steps in order, end their crashes and partitions, and wait for all answers.

    Returns the result of each Call, in order; of one that the class refused, the Refused. While too few replicas are
    able to answer, calls are submitted and not waited for. Raises as `SimulatedCluster.call` does otherwise."""
    callers: dict[int, Caller] = {}
    pending: list[Pending] = []
    for step in steps:
        if isinstance(step, Call):
            caller = callers.get(step.client)
            if caller is None:
                caller = callers[step.client] = cluster.client()
            handed = caller.submit(step.name, *step.arguments)
            pending.append(handed)
            if step.wait and cluster.able >= cluster.world.committee.quorum:
                _outcome(handed)
                continue
        else:
            _disturb(cluster, step)
        cluster.run(GAP_S)
    cluster.heal()
    cluster.restart()
    cluster.run()
    return [_outcome(one) for one in pending]


def _outcome(pending: Pending) -> Any:
    try:
        return pending.result()
    except Unanswered as error:
        return error


def _disturb(cluster: SimulatedCluster[Any], step: Crash | Restart | Partition | Heal | Corrupt) -> None:
    if isinstance(step, Crash):
        cluster.crash(step.replica)
    elif isinstance(step, Restart):
        cluster.restart(step.replica)
    elif isinstance(step, Partition):
        cluster.partition(step.side)
    elif isinstance(step, Heal):
        cluster.heal()
    elif step.replica in cluster.liars or len(cluster.liars) < cluster.world.committee.liars:
        cluster.corrupt(step.replica, step.behaviour)
