"""Everything that one run will do, as data: what a seed draws (swarm.py), a script says, or a shrunk failure keeps."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from outvote.types import MILLISECOND, NEVER, SECOND, Nanos, ReplicaId

Sins = tuple[str, ...]  # as adversaries/sins.py reads them: "equivocate", "omit@2", "silent/1s-3s"


class Fault(NamedTuple):
    """One event of the fault schedule. Replicas are named by their place: with twins two places share an identity."""

    at: Nanos
    kind: str  # a key of faults.KINDS
    replica: ReplicaId
    # Of links the other end; of crashes the number of port calls before it; of clocks nanoseconds; of read errors how
    # many; of rot a seed.
    other: int


class Split(NamedTuple):
    """A partition of some protocol rounds (see the protocol's `round_of`): their messages stay on their side."""

    first: int
    last: int  # inclusive
    sides: tuple[tuple[int, ...], ...]  # of places; one that is on no side is alone
    # From when on and until when, counted from the first message of these rounds.
    since: Nanos = 0
    until: Nanos = NEVER


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A run's numbers. `faults_end` is when the world heals; liars stay."""

    seed: int = 0
    n: int = 4
    clients: int = 1
    operations_each: int = 0
    outstanding: int = 1
    operations_after: int = 0  # for each client, once the world has healed: it must go on
    reads: bool = False  # queries go to all replicas beside the order, and clients want a quorum of answers
    receipts: bool = True  # clients want sealed answers; else large results come as digests but from one replica
    large: int = 0  # characters that are added to some values
    client_retry: Nanos = SECOND // 2  # without an answer a client asks everybody
    pause_max: Nanos = 0  # a client waits up to so long before its next request; 0: it does not wait
    keys: int = 1
    parameters: dict[str, int] = {}
    loss: float = 0.0
    duplication: float = 0.0
    replay: float = 0.0  # a frame of the same link's past comes once more
    uneven: bool = False  # each directed link gets a share of its own of these rates
    delay_min: Nanos = MILLISECOND
    delay_mean: Nanos = 0  # on top of delay_min
    heavy_tail: bool = False  # a few frames take very long, rather than exponentially distributed times
    in_order: bool = False  # as within one TCP connection
    bandwidth: int = 0  # bytes per second and directed link; 0: no limit
    sync_max: Nanos = 0
    clock_offset_max: Nanos = 0
    clock_drift_ppm_max: int = 0
    real_seals: bool = False  # Ed25519 instead of the stand-in
    liars: tuple[tuple[ReplicaId, Sins], ...] = ()
    false_clients: tuple[Sins, ...] = ()  # one entry a lying client; they come behind the honest ones
    adaptive: Sins = ()  # what replicas about to lead are corrupted with while the run goes on, while f allow it
    mover: Sins = ()  # what one replica after the other is corrupted with, never more than f at a time
    rejuvenation: Nanos = 0  # in which every replica is restarted clean once, one by one; 0: none is
    twins: tuple[ReplicaId, ...] = ()  # identities that run twice; they must be liars
    leaders: tuple[ReplicaId, ...] = ()  # of the first views; then in turn, as ever
    splits: tuple[Split, ...] = ()
    faults: tuple[Fault, ...] = ()
    faults_end: Nanos = 2 * SECOND
    deadline: Nanos = 60 * SECOND

    def but(self, **changes: Any) -> Plan:
        """The same plan with some fields changed."""
        return msgspec.structs.replace(self, **changes)

    def describe(self) -> str:
        """One line for people."""
        liars = ", ".join(f"{replica} {'+'.join(names)}" for replica, names in self.liars) or "none"
        false_clients = ", ".join("+".join(names) for names in self.false_clients)
        extra = f" false clients: {false_clients}" if false_clients else ""
        extra += f" adaptive: {'+'.join(self.adaptive)}" if self.adaptive else ""
        extra += f" mover: {'+'.join(self.mover)}" if self.mover else ""
        extra += f" rejuvenation={self.rejuvenation / MILLISECOND:.0f}ms" if self.rejuvenation else ""
        extra += f" twins={','.join(map(str, self.twins))}" if self.twins else ""
        extra += f" splits={len(self.splits)}" if self.splits else ""
        return (
            f"n={self.n} clients={self.clients}x{self.operations_each} loss={self.loss:.2f}"
            f" duplication={self.duplication:.2f} delay={self.delay_mean / MILLISECOND:.0f}ms"
            f" faults={len(self.faults)} ({', '.join(sorted({fault.kind for fault in self.faults})) or 'none'})"
            f"{extra} liars: {liars}"
        )
