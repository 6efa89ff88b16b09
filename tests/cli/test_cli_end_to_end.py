"""The commands against four processes with real sockets and disks."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomli_w
from real_cluster import OUTVOTE, PATIENCE_S, RealCluster, outvote

from outvote.cli.main import run_command
from outvote.configuration.files import create_cluster, load_genesis
from outvote.storage.files import lock

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    with RealCluster(tmp_path_factory.mktemp("served") / "cluster") as running:
        yield running


def test_a_value_is_written_read_changed_and_deleted(cluster: RealCluster) -> None:
    assert cluster.outvote("put", "city", "Zürich").stdout.startswith("version ")
    assert cluster.outvote("get", "city").stdout == "Zürich\n"
    version = cluster.outvote("get", "city", "--version").stdout.strip()
    told = json.loads(cluster.outvote("get", "city", "--json").stdout)
    assert (told["key"], told["value"], str(told["version"])) == ("city", "Zürich", version)
    assert cluster.outvote("cas", "city", "Bern", version).stdout == f"version {int(version) + 1}\n"
    late = cluster.outvote("cas", "city", "Basel", version, code=1)
    assert late.stderr.startswith(f"outvote: not written: the version of 'city' is not {version}")
    assert cluster.outvote("get", "city").stdout == "Bern\n"
    assert cluster.outvote("delete", "city").stdout == "deleted\n"
    assert cluster.outvote("delete", "city", code=1).stderr == "outvote: there is no key 'city'\n"
    assert cluster.outvote("get", "city", code=1).stderr == "outvote: there is no key 'city'\n"
    gone = json.loads(cluster.outvote("get", "city", "--json", code=1).stdout)
    assert (gone["value"], gone["version"]) == (None, 0)


def test_keys_are_listed_page_by_page(cluster: RealCluster) -> None:
    for key in ("fruit/apple", "fruit/fig", "fruit/plum"):
        cluster.outvote("put", key, "")
    assert cluster.outvote("list", "fruit/").stdout.split() == ["fruit/apple", "fruit/fig", "fruit/plum"]
    page = cluster.outvote("list", "fruit/", "--limit", "2")
    assert page.stdout.split() == ["fruit/apple", "fruit/fig"]
    assert "--after 'fruit/fig'" in page.stderr
    rest = json.loads(cluster.outvote("list", "fruit/", "--after", "fruit/fig", "--json").stdout)
    assert (rest["keys"], rest["more"]) == (["fruit/plum"], False)


def test_call_lists_and_calls_the_commands_of_the_class(cluster: RealCluster) -> None:
    listing = cluster.outvote("call").stdout
    assert "put(key: str, value: str) -> int" in listing
    assert "Write a value. Returns its version." in listing
    cluster.outvote("call", "put", "called", "42")
    entry = json.loads(cluster.outvote("call", "get", "called").stdout)
    assert entry["value"] == "42"
    assert json.loads(cluster.outvote("call", "list", "called", "--json").stdout)["value"] == ["called"]
    assert json.loads(cluster.outvote("call", "get", "no such key").stdout) is None


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["call", "putt", "a", "b"], 2, "did you mean 'put'?"),
        (["call", "cas", "a", "b", "soon"], 2, "'soon' is no version of cas("),
        (["call", "put", "a"], 2, "Missing required argument 'value'"),
        (["call", "put", "a", "b", "c"], 2, "takes 2 arguments, not 3"),
        (["call", "put", "a", "b", "--jsn"], 2, "there is no option --jsn"),
        (["call", "list", "", "-5"], 1, "limit must be 1 to 200"),
        (["put", "", "x"], 1, "a key has 1 to 1024 bytes"),
        (["put", "k"], 2, "VALUE"),
        (["cas", "k", "v", "x"], 2, "VERSION"),
        (["put", "k", "v", "--client", "nobody"], 2, "names no client 'nobody'"),
        (["put", "k", "v", "--timeout", "0"], 2, "--timeout must be more than 0"),
        (["put", "k", "v", "--receipt", "/no/such/place/r.json"], 2, "the receipt cannot be written"),
        (["list", "--limit", "200"], 2, "--limit must be 1 to 199"),
    ],
)
def test_a_wrong_call_gets_one_sentence(
    cluster: RealCluster, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    assert run_command([*arguments, "--cluster", str(cluster.directory)]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("outvote: ")
    assert shown.err.count("\n") == 1
    assert said in shown.err


def test_status_shows_every_replica_and_what_may_still_fail(cluster: RealCluster) -> None:
    cluster.outvote("put", "status", "asked")
    cluster.await_agreement(range(4), position=1)
    plain = cluster.outvote("status").stdout.splitlines()
    assert [line.split(":")[0] for line in plain[:4]] == [f"replica {number}" for number in range(4)]
    assert plain[-1] == "4 of 4 replicas answer; 1 more may fail"
    told = json.loads(cluster.outvote("status", "--json").stdout)
    assert [one["role"] for one in told["replicas"]] == ["primary", "backup", "backup", "backup"]
    assert (told["reachable"], told["quorum"], told["more_may_fail"], told["disagreements"]) == (4, 3, 1, [])


def test_on_a_terminal_status_is_a_table(cluster: RealCluster) -> None:
    ours, theirs = os.openpty()
    environment = {**os.environ, "COLUMNS": "140", "TERM": "xterm"}
    process = subprocess.Popen(
        [*OUTVOTE, "status", "-C", str(cluster.directory)], stdout=theirs, env=environment
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # how Linux tells that the other side has closed
        while part := os.read(ours, 4096):
            shown += part
    os.close(ours)
    assert process.wait(PATIENCE_S) == 0
    lines = re.sub(rb"\x1b\[[0-9;]*m", b"", shown).decode().splitlines()
    assert lines[0].strip() == "cluster cluster"
    assert lines[1].split()[:4] == ["replica", "role", "view", "position"]
    assert [line.split()[0] for line in lines[2:6]] == ["0", "1", "2", "3"]
    assert lines[6] == "4 of 4 replicas answer; 1 more may fail"


def test_a_receipt_is_saved_checked_offline_and_not_forged(cluster: RealCluster, tmp_path: Path) -> None:
    proof = tmp_path / "proof.json"
    cluster.outvote("put", "deed", "mine", "--receipt", str(proof))
    shutil.copy(cluster.directory / "cluster.toml", tmp_path)
    checked = outvote("verify", proof, "--cluster", tmp_path)
    assert checked.stdout.startswith("valid: replicas ")
    told = json.loads(outvote("verify", proof, "--cluster", tmp_path, "--json").stdout)
    assert (told["valid"], told["client"]) == (True, "default")
    assert len(told["replicas"]) >= 2, "f + 1; more where fast reads make a write wait for a quorum"

    text = proof.read_text()
    position = json.loads(text)["position"]
    forged = tmp_path / "forged.json"
    forged.write_text(text.replace(f'"position":{position}', f'"position":{position + 1}'))
    assert "not valid: the seal of replica" in outvote("verify", forged, "-C", tmp_path, code=1).stderr
    assert json.loads(outvote("verify", forged, "-C", tmp_path, "--json", code=1).stdout)["valid"] is False
    forged.write_text("{}")
    assert "this is not a receipt" in outvote("verify", forged, "-C", tmp_path, code=2).stderr
    missing = outvote("verify", tmp_path / "none.json", "-C", tmp_path, code=2)
    assert "none.json cannot be read: No such file" in missing.stderr
    assert list(tmp_path.glob(".proof*")) == []


def test_commands_at_the_same_time_in_one_clients_name_all_succeed(cluster: RealCluster) -> None:
    together = [
        subprocess.Popen(
            [*OUTVOTE, "put", f"together/{number}", str(number), "--cluster", str(cluster.directory)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for number in range(3)
    ]  # fmt: skip
    for process in together:
        text, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, text
    assert len(cluster.outvote("list", "together/").stdout.split()) == 3


def test_a_command_waits_for_another_in_the_same_clients_name(cluster: RealCluster) -> None:
    other = lock(cluster.directory / "client-default" / "lock")
    try:
        late = cluster.outvote("put", "k", "v", "--timeout", "0.2", code=4)
        assert "another command has been using the keys in" in late.stderr
        assert cluster.status()["reachable"] == 4  # looking needs no turn
    finally:
        os.close(other)
    cluster.outvote("put", "k", "v")


def test_garbage_on_the_ports_stops_nobody(cluster: RealCluster) -> None:
    sockets = [
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) for port in cluster.ports * 3
    ]
    try:
        for number, connection in enumerate(sockets):
            noise = (os.urandom(5000), b"GET / HTTP/1.1\r\n\r\n", bytes.fromhex("160301ffff") + bytes(70_000))
            try:
                connection.sendall(noise[number % 3])
            except OSError:  # thrown out while it still shouted
                continue
        cluster.outvote("put", "noise", "heard nothing")
    finally:
        for connection in sockets:
            connection.close()
    assert cluster.outvote("get", "noise").stdout == "heard nothing\n"
    assert cluster.status()["reachable"] == 4


def test_a_client_that_the_replicas_do_not_know_is_refused(cluster: RealCluster, tmp_path: Path) -> None:
    """Its own cluster.toml names it; the replicas' does not."""
    create_cluster(
        tmp_path / "other", name="other", machine="outvote:KeyValueStore", replicas=4, clients=("eve",)
    )
    eve = load_genesis(tmp_path / "other").clients[0]
    text = (cluster.directory / "cluster.toml").read_text()
    entry = {"id": eve.id + 1, "name": "eve", "public_key": eve.public_key, "certificate": eve.certificate}
    forged = tmp_path / "forged"
    forged.mkdir()
    begin, _, end = text.partition("[parameters]")
    (forged / "cluster.toml").write_text(f"{begin}[[clients]]\n{tomli_w.dumps(entry)}\n[parameters]{end}")
    shutil.copytree(tmp_path / "other" / "client-eve", forged / "client-eve")
    refused = outvote("put", "k", "v", "--cluster", forged, code=1)
    assert "replicas do not talk to client eve" in refused.stderr
    told = outvote("status", "--cluster", forged, code=4)
    assert told.stdout.count("it does not accept this client's certificate") == 4


def test_private_files_are_private(cluster: RealCluster) -> None:
    for path in cluster.directory.glob("*/*.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for path in (*cluster.directory.glob("replica-?"), *cluster.directory.glob("client-*")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
