"""Crash points: one short run, and again with a crash at each step at which a replica touches its disk or the network.

    rREPLICA:bBOUNDARY:MANNER:RESTART      r2:b37:torn:late

The run without a crash has a few operations of each kind, a view change, checkpoints and a replica that fetches a whole
state. A boundary is a port call: a send, an answer, the moments before and after an append, a checkpoint kept.
`MANNER` says what becomes of bytes that were not synced: all `kept`, all `lost`, or `torn`. The replica is started
again at `once` or three view timeouts `late`r.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from outvote.errors import Mistake
from outvote.protocols.catalogue import PROTOCOLS, Protocol
from outvote.simulator.plan import Fault, Plan
from outvote.simulator.world import World
from outvote.types import MILLISECOND, Nanos, ReplicaId

N: Final = 4
VIEW_TIMEOUT_MS: Final = 60
RESTARTS: Final = {"once": MILLISECOND, "late": 3 * VIEW_TIMEOUT_MS * MILLISECOND}
MANNERS: Final = {"kept": "crash-keeps", "lost": "crash-loses", "torn": "crash-tears"}
FORM: Final = re.compile(r"r(?P<replica>\d+):b(?P<boundary>\d+):(?P<manner>[a-z]+):(?P<restart>[a-z]+)")

LAGGING: Final = 3  # cut off until the others have forgotten what it lacks
LEADING: Final = 0  # cut off later, so that its view is changed


def _cut_off(replica: ReplicaId, since: Nanos, until: Nanos) -> list[Fault]:
    pairs = [pair for other in range(N) if other != replica for pair in ((replica, other), (other, replica))]
    return [
        Fault(at, kind, sender, receiver)
        for at, kind in ((since, "cut"), (until, "heal")) for sender, receiver in pairs
    ]


def calm_plan(protocol: Protocol) -> Plan:
    """The run without a crash."""
    faults = _cut_off(LAGGING, 0, 220 * MILLISECOND) + _cut_off(LEADING, 320 * MILLISECOND, 500 * MILLISECOND)
    return Plan(
        seed=15,  # with this one the run goes through all that it is to go through
        n=N,
        clients=1,
        operations_each=10,
        operations_after=2,
        pause_max=90 * MILLISECOND,
        client_retry=30 * MILLISECOND,
        parameters={
            "checkpoint_interval": 2,
            "window": 4,
            "batch_requests_max": 1,
            "view_timeout_ms": VIEW_TIMEOUT_MS,
            **({"status_interval_ms": 40, "idle_interval_ms": 200} if protocol.byzantine else {}),
        },
        sync_max=2 * MILLISECOND,
        faults=tuple(sorted(faults)),
        faults_end=700 * MILLISECOND,
        deadline=60_000 * MILLISECOND,
    )


@lru_cache(maxsize=4)
def boundaries(name: str) -> tuple[tuple[Nanos, ...], ...]:
    """When each port call of each replica was in the calm run, until the world healed; the same in every process.
    Raises Violation if even that run breaks an invariant."""
    plan = calm_plan(PROTOCOLS[name])
    world = World(plan, PROTOCOLS[name])
    world.run()
    return tuple(tuple(at for at in replica.port_calls if at < plan.faults_end) for replica in world.replicas)


def plan(protocol: Protocol, name: str) -> Plan:
    """The run that `r2:b37:torn:late` stands for. Raises Mistake for another text."""
    match = FORM.fullmatch(name)
    if match is None or match["manner"] not in MANNERS or match["restart"] not in RESTARTS:
        raise Mistake(
            f"{name!r} is no crash point: write rREPLICA:bBOUNDARY:MANNER:RESTART with a manner of"
            f" {', '.join(MANNERS)} and a restart of {', '.join(RESTARTS)}"
        )
    replica, boundary = int(match["replica"]), int(match["boundary"])
    times = boundaries(protocol.name)
    if replica >= len(times) or not 1 <= boundary <= len(times[replica]):
        raise Mistake(f"{name!r}: the replicas have {', '.join(str(len(one)) for one in times)} boundaries, from 1")
    calm = calm_plan(protocol)
    again = times[replica][boundary - 1] + RESTARTS[match["restart"]]
    return calm.but(faults=tuple(sorted((
        *calm.faults,
        Fault(0, MANNERS[match["manner"]], replica, boundary),
        Fault(0, "crash", replica, boundary),
        Fault(again, "restart", replica, 0),
    ))))


def cases(protocol: Protocol) -> Iterator[str]:
    """All of them."""
    for replica, times in enumerate(boundaries(protocol.name)):
        for boundary in range(1, len(times) + 1):
            yield from (
                f"r{replica}:b{boundary}:{manner}:{restart}" for manner in MANNERS for restart in RESTARTS
            )
