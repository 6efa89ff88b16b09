"""Replicas that are killed, damaged, stopped: what the commands see, and that the cluster comes back."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from real_cluster import OUTVOTE, PATIENCE_S, RealCluster, outvote, wait_until

from outvote import BlockingClient

pytestmark = pytest.mark.processes

SMALL = ("--set", "checkpoint_interval=8", "--set", "window=16", "--client", "default", "--client", "loader")


class Load:
    """A client that writes one value after the other, in a thread."""

    def __init__(self, directory: Path) -> None:
        self._client = BlockingClient(directory, "loader")
        self.written = 0
        self.error: Exception | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._client.close()

    def await_more(self, amount: int) -> None:
        goal = self.written + amount

        def enough() -> bool:
            assert self.error is None, self.error
            return self.written >= goal

        wait_until(enough, f"{amount} more writes")

    def _write(self) -> None:
        try:
            while not self._stop.is_set():
                self._client.call("put", f"load/{self.written % 50}", "x" * 100)
                self.written += 1
        except Exception as error:  # shown by the thread that waits
            self.error = error


def test_killed_replicas_come_back_and_a_dead_primary_is_replaced(tmp_path: Path) -> None:
    with RealCluster(tmp_path / "cluster", *SMALL) as cluster:
        with Load(cluster.directory) as load:
            load.await_more(20)
            cluster.end(3, signal.SIGKILL)
            load.await_more(60)  # far enough that the others have forgotten what replica 3 missed
            told = cluster.status()
            assert (told["reachable"], told["ordering"], told["more_may_fail"]) == (3, True, 0)
            assert f"nobody listens at 127.0.0.1:{cluster.ports[3]}" in told["replicas"][3]["problem"]
            cluster.launch(3)
            cluster.await_serving(3)
            load.await_more(20)
            behind = cluster.status()["replicas"][0]["position"]
        cluster.await_agreement(range(4), behind)
        assert cluster.status()["replicas"][3]["counters"].get("states_fetched", 0) >= 1

        cluster.end(0, signal.SIGKILL)
        assert cluster.outvote("put", "after", "the king is dead", "--client", "default").returncode == 0
        told = cluster.status()
        assert [one["view"] >= 1 for one in told["replicas"][1:]] == [True] * 3
        shown = cluster.outvote("status")
        assert "replica 0: unreachable: nobody listens at" in shown.stdout
        assert shown.stdout.splitlines()[-1] == "3 of 4 replicas answer; no more may fail"
        cluster.launch(0)
        cluster.await_agreement(range(4), told["replicas"][1]["position"])
        got = cluster.outvote("get", "after", "--client", "default")
        assert got.stdout == "the king is dead\n"


def test_without_a_quorum_there_is_no_answer_and_sigterm_ends_in_order(tmp_path: Path) -> None:
    with RealCluster(tmp_path / "cluster") as cluster:
        assert [cluster.end(replica, signal.SIGTERM) for replica in (0, 1)] == [0, 0]
        assert cluster.said(0).splitlines()[-1] == "replica 0: stopped"
        silent = cluster.outvote("put", "k", "v", "--timeout", "1", code=4)
        assert silent.stderr.startswith("outvote: 2 of the 4 replicas of cluster answered, 3 are needed")
        shown = cluster.outvote("status", code=4).stdout.splitlines()
        assert (
            shown[-1] == "2 of 4 replicas answer; 3 are needed: nothing can be ordered until 1 more is back"
        )
        assert json.loads(cluster.outvote("status", "--json", code=4).stdout)["ordering"] is False
        with BlockedCall(cluster.directory) as blocked:
            blocked.send_signal(signal.SIGINT)
            assert blocked.communicate(timeout=PATIENCE_S) == ("", "")
            assert blocked.returncode == 130
        assert cluster.end(2, signal.SIGINT) == 0


class BlockedCall:
    """A `put` that waits for an answer; entered when it has taken the client's lock, so that it handles signals."""

    def __init__(self, directory: Path) -> None:
        self._lock = directory / "client-default" / "lock"
        self._lock.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [*OUTVOTE, "put", "k", "v", "--cluster", str(directory), "--timeout", "3600"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __enter__(self) -> subprocess.Popen[str]:
        wait_until(self._lock.exists, "the call takes its client's lock")
        return self._process

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def add_torn_tail(path: Path) -> None:
    """What a power failure leaves of a record that was never promised."""
    path.write_bytes(path.read_bytes() + b"\x40\x00\x00\x00half a record")


def test_status_says_that_a_replica_is_of_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The replicas run as they are; whoever asks is of a release that none of them has heard of."""
    with RealCluster(tmp_path / "cluster") as cluster:
        monkeypatch.setattr("outvote.transport.tls.WIRE_FORMATS", ("outvote/9",))
        told = cluster.status()
    assert told["reachable"] == 0
    assert all("another version of outvote" in one["problem"] for one in told["replicas"])


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> RealCluster:
    """Its data hold snapshots and logs; copies of replica 0's data are damaged in the tests."""
    cluster = RealCluster(tmp_path_factory.mktemp("stopped") / "cluster", *SMALL)
    with cluster:
        with BlockingClient(cluster.directory, "loader") as client:
            for number in range(30):
                client.call("put", f"k{number}", "v" * 100)
        cluster.await_agreement(range(4), 30)
        for replica in range(4):
            assert cluster.end(replica, signal.SIGTERM) == 0
    return cluster


def newest(data: Path, pattern: str) -> Path:
    return max(data.glob(pattern))


@pytest.mark.parametrize("damage", [flip, cut_short])
def test_a_log_that_lost_a_promise_stops_the_replica(
    stopped: RealCluster, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    data = tmp_path / "data"
    shutil.copytree(stopped.data(0), data)
    segment = newest(data, "log-*")
    damage(segment)
    before = segment.read_bytes()
    for _ in range(2):  # the same the second time: nothing was repaired by forgetting
        done = outvote("run", stopped.directory, "--replica", "0", "--data", data, code=3)
        assert done.stderr.startswith(f"outvote: {segment}: ")
        assert done.stderr.count("\n") == 1
        assert "do not repair it by cutting" in done.stderr
    assert segment.read_bytes() == before


def test_damage_that_the_others_can_mend_is_mended(stopped: RealCluster) -> None:
    """One lost memory after the other, as many at a time as there may be faults."""
    flip(newest(stopped.data(0), "snapshot-*"))
    add_torn_tail(newest(stopped.data(1), "log-*"))
    add_torn_tail(newest(stopped.data(2), "log-*"))
    with stopped:
        assert "falling back to an older one" in stopped.said(0)
        stopped.await_agreement(range(4), 30)
        assert stopped.end(2, signal.SIGKILL) == -signal.SIGKILL
        cut_short(newest(stopped.data(2), "snapshot-*"))
        stopped.launch(2)
        stopped.await_agreement(range(4), 30)
        assert "falling back to an older one" in stopped.said(2)
        assert stopped.end(3, signal.SIGTERM) == 0
        shutil.rmtree(stopped.data(3))
        stopped.launch(3)
        stopped.await_agreement(range(4), 30)
        assert stopped.outvote("get", "k29", "--client", "default").stdout == "v" * 100 + "\n"


def test_wrong_ways_to_run_a_replica(tmp_path: Path) -> None:
    with RealCluster(tmp_path / "cluster") as cluster:
        again = outvote("run", cluster.directory, "--replica", "1", code=2)
        assert "another replica runs on this directory" in again.stderr
        taken = outvote("run", cluster.directory, "--replica", "1", "--data", tmp_path / "elsewhere", code=2)
        assert f"cannot listen on 127.0.0.1:{cluster.ports[1]}" in taken.stderr
        assert cluster.status()["reachable"] == 4
    other = tmp_path / "other"
    outvote("init", other, "--base-port", str(cluster.ports[0]))
    foreign = outvote("run", other, "--replica", "0", "--data", cluster.data(0), code=2)
    assert foreign.stderr.startswith("outvote: ")
    assert "cluster" in foreign.stderr
    shutil.copy(other / "replica-0" / "signing.key", cluster.directory / "replica-0" / "signing.key")
    swapped = outvote("run", cluster.directory, "--replica", "0", code=2)
    assert "is not the key that cluster.toml names for replica 0" in swapped.stderr


def test_a_defect_leaves_its_traceback_in_a_file(tmp_path: Path) -> None:
    """A class whose constructor fails only in the replica, as a defect would."""
    (tmp_path / "fragile.py").write_text(
        "import sys\nfrom outvote import StateMachine, command\n\n\n"
        "class Fragile(StateMachine):\n    value: int = 0\n\n    @command\n    def add(self) -> int:\n"
        "        return 1\n\n    def __init__(self) -> None:\n        if 'run' in sys.argv:\n"
        "            raise RuntimeError('broken\\nhere')\n"
    )
    outvote("init", "c", "--machine", "fragile:Fragile", cwd=tmp_path)
    done = outvote("run", "c", "--replica", "0", cwd=tmp_path, code=70)
    assert done.stderr.startswith(
        "outvote: a defect of outvote, please report it: RuntimeError: broken here;"
    )
    trace = (tmp_path / "c" / "replica-0" / "data" / "defect.txt").read_text()
    assert "RuntimeError: broken" in trace
