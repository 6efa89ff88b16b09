"""Cases have names that replay them, wherever they run: here, in processes, or on a Dask cluster."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

import outvote
from outvote.cli import soak as soaking
from outvote.cli.simulate import replay, simulate
from outvote.errors import Mistake
from outvote.protocols.catalogue import PBFT
from outvote.simulator.campaigns import regressions, running
from outvote.simulator.campaigns.catalogue import CAMPAIGNS, campaign, cases, plan_of_case
from outvote.simulator.campaigns.running import Count, Ran, run_case
from outvote.simulator.runs import RunResult, run_seed

SOURCES: Final = Path(outvote.__file__).parent.parent
CASES: Final = ("5", "twins:random:3", "twins:all-2:100", "byzzfuzz:1-1-any:4", "crash:r2:b37:torn:late")
PROGRAM: Final = f"""
from outvote.simulator.campaigns.running import run_case
for case in {CASES}:
    print(run_case("pbft", case).digest)
"""


def failing_broadcast(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(_message: object, _seal: bytes) -> bytes:
        raise KeyError("planted")

    monkeypatch.setattr("outvote.wire.codec.Codec.encode", staticmethod(nothing))


def test_a_case_is_the_same_run_in_every_process_and_under_every_hash_seed() -> None:
    here = [run_case("pbft", case).digest for case in CASES]
    assert len(set(here)) == len(CASES)
    environment = {**os.environ, "PYTHONHASHSEED": "4242", "PYTHONPATH": str(SOURCES)}
    ran = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == here
    assert run_case("pbft", "swarm:5").digest == run_seed("pbft", 5).digest == here[0]


@pytest.mark.parametrize(
    "case", ["", "x", "-1", "twins", "twins:", "nothing:1", "crash-points:r0:b1:torn:once", "9" * 30]
)
def test_a_case_that_does_not_exist_is_a_mistake(case: str) -> None:
    with pytest.raises(Mistake):
        plan_of_case(PBFT, case)


def test_every_campaign_names_its_cases_so_that_they_can_be_replayed() -> None:
    for one in CAMPAIGNS.values():
        names = list(cases(PBFT, one, 3, 2))
        assert len(names) == len(set(names))
        for name in (names[0], names[-1]):
            assert plan_of_case(PBFT, name).n >= 4
    with pytest.raises(Mistake, match="there is no campaign"):
        campaign("storm")


def test_processes_give_the_same_results_in_the_same_order() -> None:
    names = [f"twins:all-2:{number}" for number in range(25)]
    with running.processes(2) as place:
        seen = [(ran.case, ran.result.digest) for ran in running.results("pbft", iter(names), place)]
    assert seen == [(name, run_case("pbft", name).digest) for name in names]


def test_what_was_not_seen_is_missed_and_views_that_are_too_low() -> None:
    counted = Count(PBFT, CAMPAIGNS["swarm"])
    for number in range(CAMPAIGNS["swarm"].runs_min):
        counted.add(Ran(str(number), RunResult(number, True, "", 10, "", {"crashes": 1}, "", (), None, 4, 2)))
    summary = counted.summary()
    assert not summary.ok
    assert "torn tails" in summary.missed
    assert "crashes" not in summary.missed
    assert any("view 3 in half of the runs" in missed for missed in summary.missed)
    assert (summary.runs, summary.events, summary.delivered, summary.views) == (100, 1000, 400, 200)


def test_simulate_all_runs_every_campaign(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("outvote.simulator.campaigns.crash_points.cases", lambda _: iter(["r1:b9:lost:once"]))
    monkeypatch.setattr("outvote.simulator.campaigns.twins.cases", lambda first, count: iter([f"random:{first}"]))
    assert simulate("pbft", 1, first=2, workers=1, campaign_name="all") == 0
    told = capsys.readouterr().out
    for name in CAMPAIGNS:
        assert re.search(rf"^{name} +\d", told, re.MULTILINE)
    assert "every invariant held in every run" in told
    assert simulate("pbft", 1, workers=1, campaign_name="byzzfuzz", json_output=True) == 0
    report = json.loads(capsys.readouterr().out)
    assert [one["campaign"] for one in report["campaigns"]] == ["byzzfuzz"]
    assert report["runs"] == 15


def test_a_failure_of_a_campaign_is_told_with_the_line_that_replays_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("outvote.simulator.campaigns.twins.cases", lambda first, count: iter([f"random:{first}"]))
    failing_broadcast(monkeypatch)
    assert simulate("pbft", 1, first=6, workers=1, campaign_name="twins") == 1
    told = capsys.readouterr().out
    assert "FAILED   outvote replay twins:random:6 --protocol pbft" in told
    kept = tmp_path / "outvote-failures" / "twins-random-6.json"
    assert kept.is_file()
    assert replay("pbft", str(kept)) == 1
    assert "planted" in capsys.readouterr().out


# ---------------------------------------------------------------------- soak


def test_a_soak_goes_on_behind_the_last_one_and_tells_the_bound(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soaking, "BATCH", {"swarm": 2, "twins": 2, "byzzfuzz": 1})
    report, failures = tmp_path / "report.jsonl", tmp_path / "found.toml"
    for _ in range(2):
        assert soaking.soak("pbft", 0.0005, 1, 5_000, report, failures) == 0
    told = capsys.readouterr().out
    batches = soaking.read_report(report)
    for name in ("swarm", "twins", "byzzfuzz"):
        of_it = [one for one in batches if one.campaign == name]
        assert all(one.first == before.after for before, one in pairwise(of_it))
    assert batches[0].first == 5_000
    runs = sum(one.runs for one in batches)
    assert f"no violation in {runs:,} runs: with 95 % confidence fewer than {3 / runs:.1e}" in told
    assert not failures.exists()
    with pytest.raises(Mistake, match="--hours"):
        soaking.soak("pbft", 0, 1, None, report, failures)


def test_a_soak_keeps_what_fails_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(soaking, "BATCH", {"swarm": 1, "twins": 1, "byzzfuzz": 1})
    failing_broadcast(monkeypatch)
    report, failures = tmp_path / "report.jsonl", tmp_path / "found.toml"
    assert soaking.soak("pbft", 1e-9 + 0.00005, 1, 3, report, failures) == 1
    (one, *_) = regressions.load(failures)
    assert (one.case, one.protocol) == ("3", "pbft")
    assert "planted" in one.what
    assert one.smallest().n == 4
    held = regressions.load(failures)
    soaking.keep("pbft", [Ran("3", run_case("pbft", "3"))], failures)
    assert regressions.load(failures) == held, "known already"
    assert "violations in" in soaking.bound(10, 2)


def test_a_file_that_is_no_report_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "report.jsonl"
    assert soaking.read_report(path) == []
    path.write_text('{"protocol": 3}\n')
    with pytest.raises(Mistake, match="is no report of outvote soak"):
        soaking.read_report(path)


# ---------------------------------------------------------------------- a cluster


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler with two worker processes."""
    place = tmp_path_factory.mktemp("dask")
    told = place / "scheduler.json"
    environment = {
        **os.environ, "PYTHONPATH": str(SOURCES), "DASK_DISTRIBUTED__WORKER__DAEMON": "False",
        "DASK_TEMPORARY_DIRECTORY": str(place),
    }
    options = ["--host", "127.0.0.1", "--no-dashboard"]
    programs = [["scheduler", "--port", "0", "--scheduler-file", str(told), *options]]
    programs += [["worker", "--scheduler-file", str(told), "--nthreads", "1", *options]] * 2
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "dask", *arguments], env=environment, cwd=place,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        for arguments in programs
    ]
    try:
        deadline = time.monotonic() + 60
        while not told.is_file() or not told.read_text():
            assert time.monotonic() < deadline, "the scheduler did not start"
            time.sleep(0.1)
        yield json.loads(told.read_text())["address"]
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(30)


@pytest.mark.processes
def test_two_workers_of_a_dask_cluster_give_the_same_results(scheduler: str) -> None:
    names = [f"twins:all-2:{number}" for number in range(25)]
    deadline = time.monotonic() + 60
    while True:
        try:
            with running.dask(scheduler) as place:
                seen = [(ran.case, ran.result.digest) for ran in running.results("pbft", names, place)]
            break
        except Mistake as error:  # the workers need a second to come
            if "no workers" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    assert seen == [(name, run_case("pbft", name).digest) for name in names]


@pytest.mark.processes
def test_a_scheduler_that_is_not_there_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "PATIENCE_SECONDS", 1)
    with pytest.raises(Mistake, match="no Dask scheduler answers"), running.dask("tcp://127.0.0.1:9"):
        pass


def test_without_dask_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(Mistake, match=r"outvote\[cluster\]"), running.dask("tcp://127.0.0.1:9"):
        pass
