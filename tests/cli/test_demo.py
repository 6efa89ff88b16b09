"""The demonstration, played for real and fast; its oracle and its verdict, which must notice what is planted."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from outvote.cli.demo import run_demo
from outvote.cli.demo_acts import explained
from outvote.cli.demo_cluster import PORTS, free_ports
from outvote.cli.demo_load import Oracle, Pulse
from outvote.cli.demo_report import COUNTER, DemoReport, check_writable, verdict
from outvote.cli.demo_rot import flip_one_bit
from outvote.cli.demo_stage import sparkline
from outvote.cli.traitor import forged
from outvote.errors import Mistake
from outvote.machines.operations import encode_done
from outvote.storage.snapshots import snapshot_name
from outvote.wire.client_messages import ReplyStatement

PLAY = "import sys; from outvote.cli.demo import run_demo; sys.exit(run_demo(pace='fast'))"


def player(directory: Path) -> subprocess.Popen[str]:
    """The whole demo in a process of its own, with `directory` for its report and its temporary files."""
    return subprocess.Popen(
        [sys.executable, "-c", PLAY],
        cwd=directory,
        env={**os.environ, "TMPDIR": str(directory)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.processes
def test_the_demo_holds_what_it_promises(tmp_path: Path) -> None:
    with player(tmp_path) as process:
        output = process.communicate(timeout=200)[0]
    assert process.returncode == 0, output
    assert "\x1b" not in output
    assert "0 wrong replies accepted" in output
    report: dict[str, Any] = json.loads((tmp_path / "demo-report.json").read_text())
    assert report["ok"]
    assert report["acts"] == [1, 2, 3, 4, 5, 6, 7]
    assert report["complaints"] == []
    operations = report["operations"]
    assert operations["wrong"] == 0
    assert operations["refused"] == 0
    assert operations["sent"] == operations["acknowledged"] + operations["unknown"] + operations["never_sent"]
    assert report["linearizability"]["verdict"] == "linearizable"
    assert report["linearizability"]["operations"] == operations["sent"] - operations["never_sent"]
    beyond = report["beyond_limit"]
    assert (beyond["without_the_bug"], beyond["bug_in_one"], beyond["bug_in_all"]) == ("71", "71", "72")
    assert report["fault_free"]["decisions"] > 0
    # Votes sent again add to 24; a replica that a loaded machine kept waiting may skip votes that nobody needs.
    assert 23.5 <= report["fault_free"]["messages_per_decision"] <= 30
    treason = report["treason"]
    assert treason["forged_replies_outvoted"] > 0
    assert not treason["was_primary"] or treason["view_after"] > treason["view_before"]
    flood = report["flood"]
    assert flood["times"] > 20, "a busy machine sends less than a hundred times as much, but not that much less"
    assert flood["others_during"] > 0
    young = report["rejuvenation"]
    assert young["replica"] == treason["traitor"]
    assert young["was_traitor"]
    assert young["new_keys"] == 3
    assert young["window_s"] == 2 * young["key_use_s"] + young["repair_s"] == 3660
    assert report["recovery"]["digests_equal"]
    rot = report["rot"]
    assert len(rot["flipped"]) == 2, "both copies of the state, so neither is right"
    assert 1 <= rot["leaves_fetched"] <= 2, "and a leaf that a whole subtree of two brings along"
    assert rot["leaves"] > 1500
    assert 0 < rot["bytes_fetched"] < rot["bytes"] / 100
    assert rot["digests_equal"]
    assert report["beyond_limit"]["answered"] == 0
    assert report["beyond_limit"]["recovered"]
    assert report["beyond_limit"]["sentence"].startswith(("UnknownOutcome", "NotEnoughReplicas"))
    assert report["digests_equal"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo-report.json"]


@pytest.mark.processes
def test_a_client_that_believes_one_replica_alone_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The planted fault: this process's clients accept one reply. The replicas are other processes, and sound."""
    for threshold in ("weak", "quorum"):
        monkeypatch.setattr(f"outvote.core.quorums.{threshold}", lambda n: 1)
    report_path = tmp_path / "report.json"
    assert run_demo(report_path, pace="fast", acts=(3,)) == 1
    report = msgspec.json.decode(report_path.read_bytes(), type=DemoReport)
    assert report.operations.wrong > 0
    assert not report.ok
    assert any("wrong replies were accepted" in complaint for complaint in report.complaints)
    assert "wrong replies were accepted" in capsys.readouterr().out


@pytest.mark.processes
def test_an_interrupted_demo_leaves_nothing_behind(tmp_path: Path) -> None:
    with player(tmp_path) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "ACT 1" in line:
                break
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=60)[0]
    assert process.returncode == 130
    assert "stopped" in rest
    assert "Traceback" not in rest
    assert list(tmp_path.iterdir()) == []


@pytest.mark.processes
def test_a_replica_that_cannot_start_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report_path = tmp_path / "report.json"
    ports = free_ports(4)
    monkeypatch.setattr("outvote.cli.demo_cluster.free_ports", lambda amount: ports)
    with socket.create_server(("127.0.0.1", ports[2])):
        assert run_demo(report_path, pace="fast") == 1
    output = capsys.readouterr().out
    assert "replica 2 did not start: " in output
    assert str(ports[2]) in output
    report = msgspec.json.decode(report_path.read_bytes(), type=DemoReport)
    assert report.acts == []
    assert len(report.complaints) == 1
    assert report.complaints[0].startswith("replica 2 did not start: replica 2 cannot listen")


def test_a_report_that_cannot_be_written_is_told_before_the_first_act(tmp_path: Path) -> None:
    with pytest.raises(Mistake, match="name a file"):
        run_demo(tmp_path / "missing" / "report.json")
    with pytest.raises(Mistake, match="name a file"):
        check_writable(tmp_path)


def asked(oracle: Oracle, name: str, arguments: tuple[Any, ...], result: Any) -> bool:
    return oracle.judge(name, arguments, oracle.begun(name, arguments), result)


def test_the_oracle_accepts_what_a_store_answers() -> None:
    oracle = Oracle()
    assert asked(oracle, "get", ("k",), None)
    assert asked(oracle, "put", ("k", "a"), 1)
    assert asked(oracle, "get", ("k",), ("a", 1))
    assert asked(oracle, "cas", ("k", "b", 1), 2)
    assert asked(oracle, "cas", ("k", "c", 1), None)
    assert asked(oracle, "put", ("other", "d"), 3)
    assert asked(oracle, "get", ("k",), ("b", 2))
    assert oracle.wrong == 0


@pytest.mark.parametrize(
    ("name", "arguments", "result", "sentence"),
    [
        ("get", ("k",), ("forged", 2), "nobody wrote"),
        ("get", ("k",), ("a", 1), "though 2 had been acknowledged"),
        ("get", ("k",), None, "nothing there"),
        ("get", ("k",), ("a", 2), "but it was 'b'"),
        ("get", ("k",), ("b", 3), "but it was 'x'"),
        ("put", ("k", "c"), 2, "though 2 had been acknowledged"),
        ("put", ("k", "c"), 3, "but it was 'x'"),
        ("put", ("k", "c"), None, "no version"),
        ("cas", ("k", "c", 1), 4, "version 1 was replaced"),
    ],
)
def test_the_oracle_notices_a_wrong_answer(name: str, arguments: tuple[Any, ...], result: Any, sentence: str) -> None:
    oracle = Oracle()
    assert asked(oracle, "put", ("k", "a"), 1)
    assert asked(oracle, "put", ("k", "b"), 2)
    assert asked(oracle, "put", ("other", "x"), 3)
    assert not asked(oracle, name, arguments, result)
    assert oracle.wrong == 1
    assert sentence in oracle.sentences[0]


def test_an_answer_may_be_older_than_what_was_acknowledged_after_its_call() -> None:
    oracle = Oracle()
    assert asked(oracle, "put", ("k", "a"), 1)
    floor = oracle.begun("get", ("k",))
    assert asked(oracle, "put", ("k", "b"), 2)
    assert oracle.judge("get", ("k",), floor, ("a", 1))


def test_the_gap_is_the_longest_time_without_an_acknowledgment() -> None:
    pulse = Pulse()
    pulse.measure(1_000)
    for now in (1_100, 1_900, 2_000):
        pulse.beat(now, 10)
    assert pulse.longest_gap(2_100) == 800
    assert pulse.longest_gap(3_000) == 1_000  # the one that lasts counts
    pulse.measure(10_000)
    assert pulse.longest_gap(10_001) == 1


def sound_report() -> DemoReport:
    report = DemoReport(replies_outvoted=[5, 0, 0, 0], honest_replicas=[2], digests_equal=True)
    report.acts = [1, 2, 3, 4, 5, 6, 7]
    report.operations.sent = report.operations.acknowledged = 100
    report.linearizability.verdict = "linearizable"
    report.treason.was_primary = True
    report.treason.view_after = 1
    report.treason.forged_replies_outvoted = 5
    report.flood.others_during = 100.0
    report.rejuvenation.took_ms, report.rejuvenation.bound_s = 2_000.0, 60.0
    report.recovery.digests_equal = True
    report.rot.leaves_fetched, report.rot.leaves, report.rot.digests_equal = 1, 1000, True
    report.beyond_limit.recovered = True
    return report


def test_a_sound_report_has_no_complaints() -> None:
    assert verdict(sound_report()) == []


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        ("operations.wrong", 1, "1 wrong replies"),
        ("operations.refused", 1, "1 operations were refused"),
        ("operations.acknowledged", 0, "no operation"),
        ("linearizability.verdict", "violated", "the history is violated"),
        ("linearizability.verdict", "undecided", "the history is undecided"),
        ("replies_outvoted", [5, 0, 1, 0], "honest replica 2"),
        ("digests_equal", False, "digests differ"),
        ("treason.view_after", 0, "no view change"),
        ("treason.forged_replies_outvoted", 0, "no forged reply"),
        ("recovery.digests_equal", False, "did not come back"),
        ("flood.others_during", 0.0, "kept the others from any answer"),
        ("rejuvenation.took_ms", 60_001.0, "did not recover within its bound"),
        ("rot.digests_equal", False, "did not repair its state"),
        ("rot.leaves_fetched", 0, "fetched 0 of 1000 leaves"),
        ("rot.leaves_fetched", 1000, "fetched 1000 of 1000 leaves"),
        ("beyond_limit.answered", 1, "1 calls were answered"),
        ("beyond_limit.recovered", False, "did not recover"),
        ("complaints", ["it broke"], "it broke"),
    ],
)
def test_whatever_is_wrong_becomes_a_complaint(place: str, value: object, sentence: str) -> None:
    report = sound_report()
    *outer, name = place.split(".")
    setattr(getattr(report, outer[0]) if outer else report, name, value)
    (complaint,) = verdict(report)
    assert sentence in complaint


def test_forged_values_have_the_type_of_true_ones() -> None:
    true = tuple(encode_done(value) for value in (7, ["text", 3], None, True))
    told = forged(ReplyStatement(70_000, 1, 9, true))
    assert told.results == tuple(encode_done(value) for value in (8, ["forged", 4], None, True))
    assert (told.client, told.number, told.position) == (70_000, 1, 9)


def test_a_bit_is_flipped_where_the_value_stands_and_nowhere_else(tmp_path: Path) -> None:
    before = {1: b"h" * 200 + b"a value|more", 2: b"h" * 200 + b"something else"}
    for generation, data in before.items():
        (tmp_path / snapshot_name(generation)).write_bytes(data)
    assert flip_one_bit(tmp_path, b"a value") == [f"{snapshot_name(1)}, byte 206"]
    assert (tmp_path / snapshot_name(1)).read_bytes() == b"h" * 200 + b"a valud|more"
    assert (tmp_path / snapshot_name(2)).read_bytes() == before[2]
    with pytest.raises(Mistake, match="no replica has stored a state yet"):
        flip_one_bit(tmp_path, b"a value")


def test_ports_differ_and_are_not_those_of_outgoing_connections() -> None:
    ports = free_ports(8)
    assert len(set(ports)) == 8
    assert all(port in PORTS for port in ports)


def test_the_bars_scale_to_the_highest() -> None:
    assert sparkline([0, 1, 50, 100]) == "▁▂▅█"
    assert sparkline([0, 0]) == "▁▁"


def test_deviations_from_the_formula_are_explained() -> None:
    assert explained(24.0, 24, 0) == ""
    assert "sent again" in explained(24.3, 24, 0)
    assert "view changes" in explained(27.0, 24, 1)


def test_the_class_that_is_shown_runs_as_it_stands() -> None:
    namespace: dict[str, Any] = {"__name__": "counter"}
    exec(COUNTER, namespace)  # noqa: S102 - our own text
    counter = namespace["Counter"]()
    commands = namespace["Counter"].blueprint().commands
    assert list(commands) == ["add", "read"]
    assert counter.add(3) == 3
    assert counter.read() == 3
