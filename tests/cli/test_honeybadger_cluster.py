"""Four processes on HoneyBadger with threshold keys: one is killed and comes back; wrong keys are told."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import stat
import sys
from pathlib import Path

import pytest
from real_cluster import RealCluster, wait_until

from outvote.cli.main import run_command
from outvote.cli.serve import core_of, entry_of
from outvote.cli.worker import KeysThatWereMade
from outvote.client.aio import Client
from outvote.configuration.files import load_genesis, load_replica_keys
from outvote.core.contract import Job
from outvote.machines.key_value import KeyValueStore
from outvote.protocols.honeybadger.jobs import COIN_SHARE, COIN_VERIFY

OPTIONS = ("--protocol", "honeybadger", "--set", "checkpoint_interval=2", "--set", "window=4")


async def put(directory: Path, first: int, end: int) -> list[str]:
    """One after the other, so an epoch each; what all keys hold then."""
    async with await Client.connect(directory, "default", KeyValueStore) as client:
        store = client.of(KeyValueStore)
        for number in range(first, end):
            await store.put(f"key{number}", f"value{number}")
        return [(await store.get(f"key{number}")).value for number in range(end)]


class OwnKeys(RealCluster):
    """Every replica made its own keys, and they make the threshold keys together."""

    def make(self, *options: str) -> None:
        for replica, port in enumerate(self.ports):
            address = f"127.0.0.1:{port}"
            offer = ("keys", "offer", self.directory, "--replica", replica, "--host", address, *options[:2])
            assert run_command([str(one) for one in offer]) == 0
        offers = [f"--offer={self.directory / f'replica-{replica}.offer.toml'}" for replica in range(self.n)]
        assert run_command(["init", str(self.directory), *offers, *options]) == 0


@pytest.mark.processes
def test_one_is_killed_while_keys_are_made_and_comes_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("py_arkworks_bls12381")
    with OwnKeys(tmp_path / "cluster", *OPTIONS) as cluster:
        cluster.end(1, signal.SIGKILL)
        values = asyncio.run(put(cluster.directory, 0, 2))  # beyond a checkpoint: the one that comes back is told of it
        cluster.launch(1)
        assert values == [f"value{number}" for number in range(2)]
        assert asyncio.run(put(cluster.directory, 2, 3)) == [*values, "value2"]
        cluster.await_agreement(range(4), position=5)
        told = cluster.status()
        assert (told["reachable"], told["quorum"], told["disagreements"]) == (4, 3, [])
        assert [replica["role"] for replica in told["replicas"]] == ["proposer"] * 4
        wait_until((cluster.directory / "replica-1" / "threshold.transcript").exists, "replica 1 has the keys too")
        assert [one for one in range(4) if "process for jobs has ended" in cluster.said(one)] == []
    capsys.readouterr()
    check_transcripts(cluster.directory, capsys)


def check_transcripts(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All replicas tell of the same keys; a changed transcript, and one of another cluster, are found out."""
    paths = [directory / f"replica-{replica}" / "threshold.transcript" for replica in range(4)]
    assert "PRIVATE" not in (directory / "cluster.toml").read_text()
    verify = ["keys", "verify", "--json", "-C", str(directory)]
    keys = set()
    for path in paths:
        assert run_command([*verify, str(path)]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["valid"]
        assert (len(told["dealers"]) >= 3, len(told["confirmed_by"])) == (True, 3)
        keys.add(told["public_key"])
    assert len(keys) == 1
    check_workers(directory)
    raw = paths[0].read_bytes()
    at = raw.rindex(b"\xc4\x40") + 10  # within the last seal
    paths[0].write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
    assert run_command([*verify, str(paths[0])]) == 1
    assert "is not its own" in json.loads(capsys.readouterr().out)["reason"]
    paths[0].write_bytes(raw[:-1])
    assert "it is no transcript" in told_of(capsys, *verify, paths[0])
    assert "threshold.transcript: it cannot be read" in told_of(capsys, *verify, directory / "threshold.transcript")


def check_workers(directory: Path) -> None:
    """Processes for jobs come to the same keys, from the replica's own file and the transcript."""
    genesis = load_genesis(directory)
    folders = {one: directory / f"replica-{one}" for one in (0, 3)}
    cores = {one: core_of(genesis, entry_of(genesis), load_replica_keys(directory, one, genesis)) for one in folders}
    workers = {one: KeysThatWereMade(cores[one], folder) for one, folder in folders.items()}
    share = workers[3].compute(Job(1, COIN_SHARE, (b"name",)))
    assert workers[0].compute(Job(2, COIN_VERIFY, (b"name", share), 3)) == b"\1"
    assert workers[0].compute(Job(3, COIN_VERIFY, (b"name", share), 1)) == b""


def told_of(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
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
    said = told_of(capsys, "run", directory, "--replica", "0")
    assert "the threshold secret of replica 0 does not belong to its public key" in said
    toml = directory / "cluster.toml"
    text = toml.read_text()
    toml.write_text(text[: text.index("[threshold]")])
    said = told_of(capsys, "run", directory, "--replica", "0")
    assert "honeybadger needs threshold keys; cluster.toml has none" in said


def test_a_missing_library_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "py_arkworks_bls12381", None)
    monkeypatch.delitem(sys.modules, "outvote.crypto.threshold", raising=False)
    monkeypatch.delattr("outvote.crypto.threshold", raising=False)
    said = told_of(capsys, "init", tmp_path / "cluster", "--protocol", "honeybadger")
    assert "pip install 'outvote[threshold]'" in said
    assert not (tmp_path / "cluster").exists()


def test_offers_that_do_not_fit_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("py_arkworks_bls12381")
    paths = []
    for replica in range(4):
        own = tmp_path / f"machine-{replica}"
        offer = ("keys", "offer", str(own), "--replica", str(replica), "--host", "h", "--protocol", "honeybadger")
        assert run_command(list(offer)) == 0
        assert "fingerprint, to be compared" in capsys.readouterr().out
        paths.append(own / f"replica-{replica}.offer.toml")
        assert stat.S_IMODE((own / f"replica-{replica}" / "threshold.key").stat().st_mode) == 0o600
    cluster = tmp_path / "cluster"
    for number, host, sentence in (
        ("4", "a b", "neither a name nor an address"), ("100", "h", "there is no replica 100"),
        ("4", "h:x", "a name, an address or host:port"), ("4", "h:0", "must be between 1 and 65535"),
    ):  # fmt: skip
        assert sentence in told_of(capsys, "keys", "offer", cluster, "--replica", number, "--host", host)
        assert not cluster.exists()

    def refused(offers: list[Path], *options: str, protocol: str = "honeybadger") -> str:
        given = [f"--offer={path}" for path in offers]
        said = told_of(capsys, "init", cluster, "--protocol", protocol, *given, *options)
        assert not cluster.exists()
        return said

    assert "of the replicas 0, 1, 3: one of each is needed" in refused([paths[0], paths[1], paths[3]])
    assert "leave --hosts and --replicas away" in refused(paths, "--replicas", "4")
    assert "leave --threshold-keys away" in refused(paths, "--threshold-keys", "dealt")
    assert "pbft has no threshold keys" in refused(paths, "--threshold-keys", "generated", protocol="pbft")
    assert "choose dealt or generated" in refused([], "--threshold-keys", "found")
    assert "up to 40 of them, not 41" in refused([], "--threshold-keys", "generated", "--replicas", "41")
    text = paths[2].read_text()
    registration = text[text.index('registration = "') + 16 :][:288]
    for changed, sentence in (
        (text.replace(registration, ""), "replica 2 has registered for none"),
        (text.replace(registration, registration[:96] + registration[:192]), "threshold key of replica 2 is"),
        (text.replace(registration, "ab"), "threshold.registrations of replica 2 is no key"),
        (text.replace('host = "h"', 'host = "a b"'), "is neither a name nor an address"),
        (text + "strange = 1", "is no replica's offer"),
        ("= nonsense", "is not TOML"),
    ):
        paths[2].write_text(changed)
        assert sentence in refused(paths)
    paths[2].write_text(text)
    assert run_command(["init", str(cluster), "--protocol", "honeybadger", *(f"--offer={path}" for path in paths)]) == 0
    said = capsys.readouterr().out
    assert "copy cluster.toml into the directory that holds replica-0/, replica-1/" in said
    assert not (cluster / "replica-0").exists()
    shutil.copy(cluster / "cluster.toml", tmp_path / "machine-2")
    assert load_replica_keys(tmp_path / "machine-2", 2).threshold is not None
    assert "there is no transcript" not in told_of(capsys, "keys", "verify", "-C", cluster)
