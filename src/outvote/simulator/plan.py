"""Everything that one run will do, drawn from its seed before it starts."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from outvote.core import quorums
from outvote.simulator.adversaries.catalogue import BEHAVIOURS
from outvote.types import MILLISECOND, SECOND, Nanos, ReplicaId


class Fault(NamedTuple):
    """One event of the fault schedule."""

    at: Nanos
    # "crash" (replica, after that many port calls), "crash-kept" (the same, counted from its next stable checkpoint),
    # "restart", "cut" (a -> b), "heal"
    kind: str
    replica: ReplicaId
    other: int


class Plan(NamedTuple):
    """A run's numbers. `faults_end` is when the world heals; liars stay."""

    seed: int
    n: int
    clients: int
    operations_each: int
    outstanding: int
    pause_max: Nanos  # a client waits up to so long before its next request; 0: it does not wait
    keys: int
    parameters: dict[str, int]
    loss: float
    duplication: float
    delay_min: Nanos
    delay_mean: Nanos
    sync_max: Nanos
    clock_offset_max: Nanos
    clock_drift_ppm_max: int
    liars: tuple[tuple[ReplicaId, tuple[str, ...]], ...]
    faults: tuple[Fault, ...]
    faults_end: Nanos
    deadline: Nanos

    def describe(self) -> str:
        """One line for people."""
        liars = ", ".join(f"{replica} {'+'.join(names)}" for replica, names in self.liars) or "none"
        return (
            f"n={self.n} clients={self.clients}x{self.operations_each} loss={self.loss:.2f}"
            f" duplication={self.duplication:.2f} delay={self.delay_mean / MILLISECOND:.0f}ms"
            f" faults={len(self.faults)} liars: {liars}"
        )


def draw(seed: int) -> Plan:
    """Swarm testing: each seed leaves out about half of the fault classes and draws the rates of the others."""
    rng = Random(seed)
    n = rng.choice((4, 4, 4, 4, 5, 7))
    lossy, doubling, slow, crashing, cutting, skewed = (rng.random() < 0.5 for _ in range(6))
    interval = rng.choice((2, 4, 8, 16))
    faults_end = rng.randrange(3, 9) * SECOND
    liars = _liars(rng, n)
    operations_each = rng.choice((10, 20, 40))
    # Liars count as faulty: together with them at most f replicas are down at a time, or nothing could be decided.
    faults: list[Fault] = []
    if crashing:
        faults += _crashes(rng, n, faults_end)
    if cutting:
        faults += _cuts(rng, n, faults_end)
    return Plan(
        seed=seed,
        n=n,
        clients=rng.choice((1, 2, 3)),
        operations_each=operations_each,
        outstanding=rng.choice((1, 3, 8)),
        # Without pauses all work is done in the first tenth of a second, and most faults fall into idleness.
        pause_max=rng.choice((0, 2, 3, 4)) * faults_end // operations_each,
        keys=rng.choice((1, 3, 6)),
        parameters={
            "checkpoint_interval": interval,
            "window": 2 * interval,
            "pipeline": rng.choice((1, 2, 4)),
            "batch_requests_max": rng.choice((1, 1, 8)),  # batches of one are always full: they are pipelined
            # Short ones expire while votes are on their way: then views change with half-prepared positions.
            "view_timeout_ms": rng.choice((1000, 1000, 300, 100)),
        },
        loss=rng.choice((0.02, 0.1, 0.3)) if lossy else 0.0,
        duplication=rng.choice((0.05, 0.5)) if doubling else 0.0,
        delay_min=rng.choice((0, 1, 5)) * MILLISECOND,
        delay_mean=rng.choice((20, 60, 120) if slow else (1, 3)) * MILLISECOND,
        sync_max=rng.choice((0, 1, 10)) * MILLISECOND,
        clock_offset_max=rng.choice((10, 1000, 4000)) * MILLISECOND if skewed else 0,
        clock_drift_ppm_max=rng.choice((100, 20_000)) if skewed else 0,
        liars=liars,
        faults=tuple(sorted(faults)),
        faults_end=faults_end,
        deadline=faults_end + 60 * SECOND,
    )


def _liars(rng: Random, n: int) -> tuple[tuple[ReplicaId, tuple[str, ...]], ...]:
    """Up to f replicas, at random with respect to the order of primaries, each with one or two sins."""
    count = rng.choice((0, 1, quorums.faults(n)))
    replicas = sorted(rng.sample(range(n), count))
    names = sorted(BEHAVIOURS)
    return tuple((replica, tuple(sorted(rng.sample(names, rng.choice((1, 1, 2)))))) for replica in replicas)


def _crashes(rng: Random, n: int, end: Nanos) -> list[Fault]:
    faults = []
    for _ in range(rng.choice((3, 8, 30))):
        at = rng.randrange(end)
        down = rng.choice((1, 50, 500, 2500)) * MILLISECOND
        # Now and then the power goes: everybody crashes, and what was acknowledged must still be there.
        crashed = range(n) if rng.random() < 0.1 else (rng.randrange(n),)
        for replica in crashed:
            # "other" counts port calls: the crash falls between any two steps of the drain that comes next.
            # A log that has just begun anew behind a checkpoint is the likeliest to lack something.
            kind = rng.choice(("crash", "crash", "crash-kept"))
            faults.append(Fault(at, kind, replica, rng.randrange(1, 24)))
            faults.append(Fault(min(at + down, end), "restart", replica, 0))
    return faults


def _cuts(rng: Random, n: int, end: Nanos) -> list[Fault]:
    """Partitions: a side cut off both ways, or single directed links."""
    faults = []
    for _ in range(rng.randrange(1, 4)):
        start = rng.randrange(end)
        stop = min(end, start + rng.randrange(100, 3000) * MILLISECOND)
        if rng.random() < 0.5:
            side = set(rng.sample(range(n), rng.randrange(1, n)))
            pairs = [(a, b) for a in range(n) for b in range(n) if (a in side) != (b in side)]
        else:
            pairs = [(rng.randrange(n), rng.randrange(n)) for _ in range(rng.randrange(1, n + 1))]
        faults += [Fault(start, "cut", a, b) for a, b in pairs]
        faults += [Fault(stop, "heal", a, b) for a, b in pairs]
    return faults
