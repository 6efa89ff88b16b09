"""The numbers and flags of a Raft deployment; equal on all replicas, since they come from the genesis configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from outvote.errors import Mistake
from outvote.types import MILLISECOND, Nanos, ReplicaId

HEARTBEATS_OF_A_TIMEOUT: Final = 8  # several may be lost before anybody thinks of an election
FLAGS: Final = ("pre_vote", "check_quorum", "read_index", "lease", "pipelining", "repair")


class RaftConfig(msgspec.Struct, frozen=True):
    """Every field is checked by `validated`. Flags are 0 or 1: what they cost and save is measured one by one."""

    checkpoint_interval: int = 256
    """Entries from one snapshot to the next; the log before it is compacted."""
    window: int = 512
    """Entries that may wait to be committed, and compacted ones that are kept for followers a little behind."""
    batch_requests_max: int = 256
    """Requests in one entry (each up to 256 operations)."""
    batch_bytes_max: int = 512 * 1024
    """Bytes of one entry; must hold one largest request."""
    pipeline: int = 2
    """Full entries that the leader appends before the first of them is committed; ones that are not full go alone."""
    view_timeout_ns: Nanos = 1000 * MILLISECOND
    """The election timeout: a follower that hears nothing waits for one to two of them."""
    view_timeout_growth_max: int = 16
    """The election timeout doubles with each fruitless election, up to this factor."""
    pre_vote: int = 1
    """Whether a follower asks for votes in a term that it does not enter before a majority would follow it."""
    check_quorum: int = 1
    """Whether a leader that a majority does not answer resigns, and followers of a live leader elect nobody else."""
    read_index: int = 1
    """Whether queries are answered beside the log, once a majority has confirmed who leads; else they are logged."""
    lease: int = 0
    """Whether a leader trusts such a confirmation for nearly an election timeout. Relies on clocks; off unless asked
    for."""
    lease_drift_ppm: int = 50_000
    """How far the rates of two replicas' clocks may be apart, in millionths: subtracted from the lease."""
    pipelining: int = 1
    """Whether entries follow each other to a follower without waiting for its acknowledgement."""
    repair: int = 1
    """Whether identifiers are kept beside entries, and damaged ones mended from others; else damage stops a replica."""
    learners: int = 0
    """Bit i: replica i has no vote at first."""
    witnesses: int = 0
    """Bit i: replica i votes and keeps no data: terms of entries and who votes, no requests and no state."""

    def keeps_data(self, replica: ReplicaId) -> bool:
        return not self.witnesses >> replica & 1

    def too_many_witnesses(self, voters: Sequence[ReplicaId]) -> bool:
        """A majority of the voters must keep data: then every majority holds one that does, and as many as may fail can
        do so without the last copy."""
        return 2 * sum(1 for voter in voters if not self.keeps_data(voter)) >= len(voters)

    @property
    def heartbeat_ns(self) -> Nanos:
        return max(MILLISECOND, self.view_timeout_ns // HEARTBEATS_OF_A_TIMEOUT)

    @property
    def lease_ns(self) -> Nanos:
        """How long after it was sent a confirmed heartbeat proves that nobody else can have been elected: followers
        keep to a leader for one election timeout of their own clocks, counted from later than that."""
        return self.view_timeout_ns * (1_000_000 - self.lease_drift_ppm) // 1_000_000

    def validated(self, n: int) -> RaftConfig:
        """Returns self, or raises Mistake with the field and what it should be."""
        for name in (
            "checkpoint_interval", "window", "batch_requests_max", "batch_bytes_max", "pipeline", "view_timeout_ns",
            "view_timeout_growth_max",
        ):
            if getattr(self, name) < 1:
                raise Mistake(f"{name} is {getattr(self, name)}: it must be at least 1")
        for name in FLAGS:
            if getattr(self, name) not in (0, 1):
                raise Mistake(f"{name} is {getattr(self, name)}: it must be 0 or 1")
        if self.lease and not self.check_quorum:
            raise Mistake("lease needs check_quorum: without it followers elect another leader while the lease runs")
        if not 0 <= self.lease_drift_ppm < 1_000_000:
            raise Mistake(f"lease_drift_ppm is {self.lease_drift_ppm}: it must be from 0 to 999999")
        if not 300 * 1024 <= self.batch_bytes_max <= 2 * 1024 * 1024:
            raise Mistake("batch_bytes_max must lie between 307200 (one largest request) and 2097152 (half a frame)")
        if not 0 <= self.learners < (1 << n) - 1:
            raise Mistake(f"learners is {self.learners}: bit i stands for replica i of {n}, and one at least must vote")
        if not 0 <= self.witnesses < 1 << n:
            raise Mistake(f"witnesses is {self.witnesses}: bit i stands for replica i of {n}")
        voters = [replica for replica in range(n) if not self.learners >> replica & 1]
        if self.witnesses and self.too_many_witnesses(voters):
            raise Mistake(f"witnesses is {self.witnesses}: of {len(voters)} voters more than half must keep data")
        return self
