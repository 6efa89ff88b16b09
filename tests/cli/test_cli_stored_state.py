"""A class that keeps its state in a store, on a real cluster: a replica killed under load has that state again."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from real_cluster import RealCluster
from test_cli_faults import SMALL, Load

pytestmark = pytest.mark.processes

PROGRAMS = Path(__file__).parents[2] / "docs_src"


def test_a_replica_killed_under_load_comes_back_with_the_same_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(PROGRAMS), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.syspath_prepend(PROGRAMS)
    with RealCluster(tmp_path / "cluster", *SMALL, "--machine", "archive:Archive") as cluster:
        with Load(cluster.directory) as load:
            load.await_more(30)
            cluster.end(2, signal.SIGKILL)
            load.await_more(10)
            cluster.launch(2)
            cluster.await_serving(2)
            load.await_more(20)
            behind = cluster.status()["replicas"][0]["position"]
        cluster.await_agreement(range(4), behind)
        told = cluster.status()["replicas"]
        assert len({(one["checkpoint"], one["checkpoint_digest"]) for one in told}) == 1
        assert told[2]["checkpoint"] > 0
        for replica in range(4):
            data = cluster.data(replica)
            assert (data / "state.store").stat().st_size > 0
            assert all(path.stat().st_size < 1000 for path in data.glob("snapshot-*.state")), "pointers, not images"
        assert "damaged" not in cluster.said(2)
