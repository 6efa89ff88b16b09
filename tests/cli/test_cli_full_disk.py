"""A real replica whose disk fills up: it stops with a sentence, the others go on, and it comes back bound."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
from real_cluster import RealCluster, wait_until
from test_cli_faults import Load

if sys.platform == "linux":
    import resource

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the files of a running process"),
]


def test_a_full_disk_stops_one_replica_and_nothing_else(tmp_path: Path) -> None:
    clients = ("--client", "default", "--client", "loader")
    with RealCluster(tmp_path / "cluster", *clients) as cluster, Load(cluster.directory) as load:
        assert cluster.end(2, signal.SIGTERM) == 0
        process = cluster.launch(2)
        cluster.await_serving(2)
        load.await_more(50)
        # From now on no file of replica 2 may grow beyond 40 KiB; a generation of its log takes about 90.
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (40 * 1024, 40 * 1024))
        wait_until(lambda: process.poll() is not None, "replica 2 stops")
        assert cluster.exit_code(2) == 3
        last = cluster.said(2).strip().splitlines()[-1]
        assert "Traceback" not in cluster.said(2)
        assert any(word in last for word in ("space", "full", "large")), last
        load.await_more(50)
        cluster.launch(2)
        cluster.await_serving(2)
        load.await_more(50)
        cluster.await_agreement([0, 1, 2, 3], position=1)
        # It kept every promise: nobody found two of its statements in conflict.
        assert not list(cluster.directory.rglob("evidence/*.json"))
