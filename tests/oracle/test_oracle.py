"""A checker that is not ours judges the same histories, and is judged itself: of a wrong history it says so."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from check_histories import build, judge
from histories import history_of, write


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("go") is None:
        pytest.skip("the oracle is written in Go")
    try:
        return build(tmp_path_factory.mktemp("oracle"))
    except subprocess.CalledProcessError as error:
        if "dial tcp" in error.stderr or "no such host" in error.stderr:
            pytest.skip(f"porcupine cannot be fetched here: {error.stderr[-200:]}")
        raise


@pytest.mark.parametrize("protocol", ["pbft", "pbft-authenticators", "raft", "honeybadger"])
def test_histories_of_every_protocol_are_linearizable(oracle: Path, protocol: str, tmp_path: Path) -> None:
    files = []
    for seed in (2002, 2003, 2004):
        files.append(tmp_path / f"{seed}.jsonl")
        write(files[-1], history_of(protocol, seed))
    status, lines = judge(oracle, files)
    assert (status, [line.split()[0] for line in lines]) == (0, ["Ok"] * 3)
    assert sum(int(line.split()[1]) for line in lines) > 6


def test_a_result_that_nobody_could_have_seen_is_found(oracle: Path, tmp_path: Path) -> None:
    history = list(history_of("raft", 2003))
    seen = {
        place: one.result for place, one in enumerate(history)
        if isinstance(one.operation, tuple) and one.operation[0] == "get" and isinstance(one.result, tuple)
    }
    place, (value, version) = next(iter(seen.items()))
    history[place] = history[place]._replace(result=(value, version + 1))
    write(tmp_path / "wrong.jsonl", history)
    status, lines = judge(oracle, [tmp_path / "wrong.jsonl"])
    assert status == 1
    assert lines[0].startswith("Illegal ")
