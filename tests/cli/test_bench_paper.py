"""`outvote bench pbft-paper`, end to end with few operations: what it says, never how fast anything was."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from real_cluster import outvote, wait_until

from outvote.cli.bench_costs import ComputingCosts, with_messages
from outvote.cli.bench_paper import paper_ratio
from outvote.cli.main import run_command

LATENCIES = {
    (size, kind) for size in ("0/0", "4/0", "0/4") for kind in ("read-write", "read-only", "unreplicated")
}


def running_with(name: str, value: str) -> list[list[str]]:
    """The command lines of all processes with this in their environment."""
    found: list[list[str]] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(name) == value:
                found.append(process.cmdline())
    return found


@pytest.mark.parametrize("form", ["signatures", "authenticators"])
def test_it_measures_everything_beside_the_paper_and_the_model(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "paper.json"
    monkeypatch.setenv("OUTVOTE_TEST_RUN", str(tmp_path))
    done = outvote(
        "bench", "pbft-paper", "--form", form, "--operations", "3", "--seconds", "0.05", "--json", file, timeout_s=120
    )
    told = json.loads(file.read_bytes())
    (result,) = told["results"]
    assert result["form"] == form
    assert {(one["size"], one["kind"]) for one in result["latencies"]} == LATENCIES
    assert set(result["throughput_per_s"]) == {"off", "on"}
    figures = [one[which] for one in result["latencies"] for which in ("latency_ms", "ratio")]
    for figure in (*figures, *result["throughput_per_s"].values()):
        assert figure["measured"] > 0
        assert figure["predicted"] > 0
        assert figure["error_percent"] == pytest.approx((figure["predicted"] / figure["measured"] - 1) * 100)
    assert all(cost >= 0 for cost in result["costs_s"].values())
    for size, kind in LATENCIES:
        assert f"{size}  {kind}" in done.stdout
    assert "batching off" in done.stdout
    assert not Path(told["directory"]).exists()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as known:
        assert len(running_with("OUTVOTE_TEST_RUN", str(tmp_path))) == 1  # such a process would be seen
        known.communicate(b"\n")
    assert running_with("OUTVOTE_TEST_RUN", str(tmp_path)) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--form", "votes"], "there is no form 'votes'"),
        (["--channel", "pigeon"], "there is no channel 'pigeon'"),
        (["--operations", "0"], "--operations is 0"),
        (["--seconds", "-1"], "--seconds is -1"),
        (["--seconds", "nan"], "--seconds is nan"),
        (["--json", "nowhere/at/all.json"], "there is no directory"),
    ],
)
def test_a_mistake_gets_a_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["bench", "pbft-paper", *arguments]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


def test_an_interrupt_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTVOTE_TEST_RUN", str(tmp_path))
    program = [sys.executable, "-m", "outvote", "bench", "pbft-paper", "--form", "signatures", "--operations", "100000"]
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if "four replicas" in line or "one process" in line:
                break
        wait_until(lambda: len(running_with("OUTVOTE_TEST_RUN", str(tmp_path))) > 1, "a replica runs")
        running.send_signal(signal.SIGINT)
        assert "Traceback" not in running.stderr.read()
    assert running.returncode == 130
    assert running_with("OUTVOTE_TEST_RUN", str(tmp_path)) == []


def test_the_papers_ratios() -> None:
    assert paper_ratio("0/0", "read-write") == pytest.approx(4.085, abs=0.001)
    assert paper_ratio("4/0", "read-only") == pytest.approx(1.511, abs=0.001)
    assert paper_ratio("0/4", "unreplicated") == 1


def test_messages_cost_half_an_empty_round_trip_and_what_bytes_add() -> None:
    computing = ComputingCosts(1, 2, 3, 4, 5, 6, 7)
    costs = with_messages(computing, {(0, 0): 10.0, (100, 0): 30.0, (0, 100): 50.0})
    assert costs.message_s == 5
    assert costs.message_byte_s == pytest.approx(0.3)  # 0.2 and 0.4
    assert costs[:6] == (1, 2, 3, 4, 5, 6)
    assert costs.sync_s == 7
