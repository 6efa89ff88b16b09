"""A rolling upgrade: replicas of two releases, whose wire formats differ, in one cluster, on channels of our own."""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path

import pytest
from real_cluster import RealCluster, wait_until

from outvote.client.blocking import BlockingClient

pytestmark = pytest.mark.processes

PROGRAM = str(Path(__file__).with_name("newer_release.py"))
N = 4


def upgrade(cluster: RealCluster, replica: int, formats: str) -> None:
    assert cluster.end(replica, signal.SIGTERM) == 0
    cluster.launch(replica, (sys.executable, PROGRAM, formats))
    cluster.await_serving(replica)


def links(cluster: RealCluster, replica: int) -> dict[int, str]:
    """The format that a replica of the newer release spoke last on the link it made to each other."""
    found = re.findall(r"^dialed (\d+): (\S+)", cluster.said(replica), re.MULTILINE)
    return {int(other): spoken for other, spoken in found}


def test_replicas_are_upgraded_one_after_the_other_and_each_pair_speaks_the_best_that_both_know(tmp_path: Path) -> None:
    options = ("--form", "authenticators", "--channel", "plain")
    with RealCluster(tmp_path / "cluster", *options) as cluster, BlockingClient(cluster.directory) as client:
        written = 0
        for upgraded in range(N):
            upgrade(cluster, upgraded, "outvote/2,outvote/1")
            for _ in range(5):
                written += 1
                client.call("put", "k", str(written))

            def agreed(newest: int = upgraded) -> bool:
                """A pair has met again, and the newer ones among themselves speak the newer format."""
                expected = {
                    other: "outvote/2" if other <= newest else "outvote/1" for other in range(N) if other != newest
                }
                return links(cluster, newest) == expected

            wait_until(agreed, f"replica {upgraded} speaks with each other one as both can")
        assert client.call("get", "k").value == str(written)
        wait_until(lambda: set(links(cluster, 0).values()) == {"outvote/2"}, "replica 0 is newer with all")
        cluster.await_agreement(range(N), 5 * N)
        assert all("accepted 65536: outvote/1" in cluster.said(replica) for replica in range(N)), "the client is older"
        assert not any("is not above its last one" in cluster.said(replica) for replica in range(N)), "all are honest"


def test_a_release_that_has_dropped_the_older_format_is_told_so_and_the_others_go_on(tmp_path: Path) -> None:
    options = ("--form", "authenticators", "--channel", "plain")
    with RealCluster(tmp_path / "cluster", *options) as cluster, BlockingClient(cluster.directory) as client:
        upgrade(cluster, 3, "outvote/2")
        client.call("put", "k", "v")
        sentence = "another version of outvote: party {} speaks {}, and this one {}; install the same version"
        wait_until(lambda: sentence.format(0, "outvote/1", "outvote/2") in cluster.said(3), "the newer one is told")
        wait_until(lambda: sentence.format(3, "outvote/2", "outvote/1") in cluster.said(0), "and so is the older one")
        assert client.call("get", "k").value == "v"
        told = cluster.status()
        assert told["reachable"] == 3
        assert "another version of outvote" in told["replicas"][3]["problem"]
