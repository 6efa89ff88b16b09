"""Clusters of a user's own class under lies and faults, for pytest, unittest, Hypothesis and notebooks."""

from outvote.testing.cluster import Caller, Pending, SimulatedCluster, simulated_cluster
from outvote.testing.sequences import Call, Corrupt, Crash, Heal, Partition, Restart, Step, run_sequence
from outvote.testing.strategies import operations

__all__ = [
    "Call",
    "Caller",
    "Corrupt",
    "Crash",
    "Heal",
    "Partition",
    "Pending",
    "Restart",
    "SimulatedCluster",
    "Step",
    "operations",
    "run_sequence",
    "simulated_cluster",
]
