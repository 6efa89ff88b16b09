"""Four processes on HoneyBadger with threshold keys: one is killed and comes back; wrong keys are told."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
from pathlib import Path

import pytest
from real_cluster import RealCluster

from outvote.cli.main import run_command
from outvote.client.aio import Client
from outvote.machines.key_value import KeyValueStore

OPTIONS = ("--protocol", "honeybadger", "--set", "checkpoint_interval=2", "--set", "window=4")


async def put(directory: Path, first: int, end: int) -> list[str]:
    """One after the other, so an epoch each; what all keys hold then."""
    async with await Client.connect(directory, "default", KeyValueStore) as client:
        store = client.of(KeyValueStore)
        for number in range(first, end):
            await store.put(f"key{number}", f"value{number}")
        return [(await store.get(f"key{number}")).value for number in range(end)]


@pytest.mark.processes
def test_one_is_killed_and_comes_back(tmp_path: Path) -> None:
    pytest.importorskip("py_arkworks_bls12381")
    with RealCluster(tmp_path / "cluster", *OPTIONS) as cluster:
        cluster.end(1, signal.SIGKILL)
        values = asyncio.run(put(cluster.directory, 0, 2))  # beyond a checkpoint: the one that comes back is told of it
        cluster.launch(1)
        assert values == [f"value{number}" for number in range(2)]
        assert asyncio.run(put(cluster.directory, 2, 3)) == [*values, "value2"]
        cluster.await_agreement(range(4), position=5)
        told = cluster.status()
        assert (told["reachable"], told["quorum"], told["disagreements"]) == (4, 3, [])
        assert [replica["role"] for replica in told["replicas"]] == ["proposer"] * 4


def told(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    assert run_command([str(argument) for argument in arguments]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


def test_another_replicas_secret_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("py_arkworks_bls12381")
    directory = tmp_path / "cluster"
    assert run_command(["init", str(directory), "--protocol", "honeybadger"]) == 0
    capsys.readouterr()
    shutil.copy(directory / "replica-1" / "threshold.key", directory / "replica-0")
    said = told(capsys, "run", directory, "--replica", "0")
    assert "the threshold secret of replica 0 does not belong to its public key" in said
    toml = directory / "cluster.toml"
    text = toml.read_text()
    toml.write_text(text[: text.index("[threshold]")])
    assert "honeybadger needs threshold keys; cluster.toml has none" in told(capsys, "run", directory, "--replica", "0")


def test_a_missing_library_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "py_arkworks_bls12381", None)
    monkeypatch.delitem(sys.modules, "outvote.crypto.threshold", raising=False)
    monkeypatch.delattr("outvote.crypto.threshold", raising=False)
    said = told(capsys, "init", tmp_path / "cluster", "--protocol", "honeybadger")
    assert "pip install 'outvote[threshold]'" in said
    assert not (tmp_path / "cluster").exists()
