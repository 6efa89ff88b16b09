"""A run is told as it was; and a batch of seeds has been through everything."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median

import pytest

from outvote.cli.simulate import replay, simulate
from outvote.core.contract import Message
from outvote.errors import Mistake
from outvote.simulator.campaigns import running
from outvote.simulator.campaigns.catalogue import campaign
from outvote.simulator.runs import BATCH_SEEDS, run_seed


def test_keeping_the_trace_does_not_change_the_run() -> None:
    plain, kept = run_seed("pbft", 5), run_seed("pbft", 5, keep_trace=True)
    assert plain.digest == kept.digest
    assert not plain.trace
    assert any("delivers" in line for line in kept.trace)
    assert any("PrePrepare" in line for line in kept.trace)


def run_swarm(first: int, count: int, workers: int = 1) -> tuple[running.Summary, list[running.Ran]]:
    seen: list[running.Ran] = []
    with running.processes(workers) as place:
        summary = running.run("pbft", campaign("swarm"), first, count, place, seen.append)
    return summary, seen


def test_a_batch_holds_and_covers_everything() -> None:
    summary, seen = run_swarm(1000, BATCH_SEEDS)
    assert [(failed.case, failed.result.violation) for failed in summary.failures] == []
    assert summary.missed == ()
    assert summary.median_view >= campaign("swarm").median_view_min >= 3
    assert 1000 <= median(ran.result.delivered for ran in seen) <= 3000
    assert summary.ok


def test_workers_give_the_same_results_in_the_same_order() -> None:
    _, seen = run_swarm(0, 12, workers=2)
    told = [(ran.case, ran.result.digest) for ran in seen]
    assert told == [(str(seed), run_seed("pbft", seed).digest) for seed in range(12)]


def test_simulate_prints_coverage_and_succeeds(capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate("pbft", 5, first=7, workers=1) == 0
    told = capsys.readouterr().out
    assert "campaign  runs  events" in told
    assert "views entered" in told
    assert "every invariant held in every run" in told


def test_a_failure_is_told_with_the_line_that_replays_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)

    def nothing(_message: Message, _seal: bytes) -> bytes:
        raise KeyError("planted")

    monkeypatch.setattr("outvote.wire.codec.Codec.encode", staticmethod(nothing))
    assert simulate("pbft", 1, first=17, workers=1) == 1
    told = capsys.readouterr().out
    assert "FAILED   outvote replay 17 --protocol pbft" in told
    assert "1 failed" in told
    assert simulate("pbft", 1, first=17, workers=1, json_output=True) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["failures"][0]["replay"] == "outvote replay 17 --protocol pbft"
    assert replay("pbft", "17") == 1
    assert "planted" in capsys.readouterr().out


def test_replay_prints_plan_trace_and_digest(capsys: pytest.CaptureFixture[str]) -> None:
    assert replay("pbft", "5") == 0
    told = capsys.readouterr().out
    result = run_seed("pbft", 5, keep_trace=True)
    assert told.startswith("plan ")
    assert result.plan in told
    assert all(line in told for line in result.trace[-20:])
    assert result.digest in told
    assert replay("pbft", "5", tail=3) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + 3 + 3


def test_impossible_numbers_are_mistakes() -> None:
    for seeds, workers in ((0, 1), (1, 0)):
        with pytest.raises(Mistake):
            simulate("pbft", seeds, workers=workers)
    with pytest.raises(Mistake, match="no protocol"):
        simulate("paxos", 1)
