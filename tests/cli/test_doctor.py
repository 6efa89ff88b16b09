"""`outvote doctor`: which faults reach several replicas at once, and what is left of f."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from real_cluster import RealCluster

from outvote.cli.doctor import diagnose
from outvote.cli.main import run_command
from outvote.configuration.files import CLUSTER_FILE, create_cluster, load_genesis
from outvote.configuration.genesis import Genesis, ThresholdEntry

HOW_TO = Path(__file__).parents[2] / "docs" / "how_to" / "spread_the_faults.md"
STORE = "outvote.machines.key_value:KeyValueStore"


def spread(directory: Path, n: int = 7) -> Genesis:
    """A cluster whose hosts differ, and whose keys were given to them."""
    hosts = [f"10.0.0.{number}" for number in range(n)]
    genesis = create_cluster(directory, name="spread", machine=STORE, replicas=n, hosts=hosts)
    for number in range(n):
        (directory / f"replica-{number}" / "signing.key").unlink()
    return genesis


def said(n: int, **shared: list[int]) -> list[dict[str, str]]:
    """What replicas say that share nothing but, of each kind named, what the listed ones have in common."""
    kinds = ("host", "kernel", "python", "outvote", "machine")
    return [
        {kind: "shared" if number in shared.get(kind, []) else f"{kind} of {number}" for kind in kinds}
        for number in range(n)
    ]


def test_replicas_that_share_nothing_bear_f(tmp_path: Path) -> None:
    found = diagnose(spread(tmp_path), tmp_path, said(7))
    assert (found.domains, found.effective_faults(), found.too_large()) == ((), 2, [])


def test_threshold_keys_that_were_dealt_were_in_one_place(tmp_path: Path) -> None:
    genesis, threshold = spread(tmp_path), ThresholdEntry("00", ("00",) * 7)
    found = diagnose(msgspec.structs.replace(genesis, threshold=threshold), tmp_path, said(7))
    assert [(one.kind, len(one.replicas)) for one in found.too_large()] == [("dealer", 7)]
    made = ThresholdEntry(registrations=("00",) * 7)
    assert diagnose(msgspec.structs.replace(genesis, threshold=made), tmp_path, said(7)).domains == ()


@pytest.mark.parametrize(
    ("shared", "bears", "too_large"),
    [
        ({"host": [1, 2]}, 1, 0),
        ({"host": [0, 1], "kernel": [2, 3]}, 1, 0),
        ({"host": [1, 2, 3]}, 0, 1),
        ({"outvote": [0, 1, 2, 3, 4, 5, 6], "python": [0, 1, 2]}, 0, 2),
    ],
)
def test_the_effective_f_is_that_of_the_worst_kind(
    tmp_path: Path, shared: dict[str, list[int]], bears: int, too_large: int
) -> None:
    found = diagnose(spread(tmp_path), tmp_path, said(7, **shared))
    assert (found.effective_faults(), len(found.too_large())) == (bears, too_large)
    accepted = diagnose(spread(tmp_path / "again"), tmp_path, said(7, **shared), tuple(shared))
    assert (accepted.effective_faults(), accepted.too_large()) == (2, [])


def test_one_host_with_every_key_is_too_much(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    create_cluster(tmp_path, name="one", machine=STORE, replicas=4)
    assert run_command(["doctor", "-C", str(tmp_path), "--offline"]) == 1
    shown = capsys.readouterr().out
    assert shown.replace(str(tmp_path), "outvote-cluster") in HOW_TO.read_text()
    lines = shown.splitlines()
    assert lines[0].startswith("address: replicas 0, 1, 2, 3 share one address (127.0.0.1): more than f = 1; ")
    assert any(line.startswith("keys: replicas 0, 1, 2, 3 share one directory with their keys") for line in lines)
    assert lines[-1].endswith("a single fault can reach more than f replicas")
    accepted = [word for kind in ("address", "keys", "machine") for word in ("--accept", kind)]
    assert run_command(["doctor", "-C", str(tmp_path), "--offline", "--json", *accepted]) == 0
    assert json.loads(capsys.readouterr().out)["effective_faults"] == 1
    assert run_command(["doctor", "-C", str(tmp_path), "--accept", "weather"]) == 2
    assert "choose from address" in capsys.readouterr().err


def test_another_implementation_ends_a_shared_one(tmp_path: Path) -> None:
    create_cluster(tmp_path, name="two", machine=STORE, replicas=4)
    before = load_genesis(tmp_path)
    entry = f'id = 3\nmachine = "{STORE.replace("key_value:KeyValueStore", "ledger:Ledger")}"\n'
    path = tmp_path / CLUSTER_FILE
    path.write_text(path.read_text().replace("id = 3\n", entry))
    genesis = load_genesis(tmp_path)
    assert genesis.identity() == before.identity(), "a replica's implementation is its own affair"
    found = diagnose(genesis, tmp_path, [None] * 4)
    assert [one.replicas for one in found.domains if one.kind == "machine"] == [(0, 1, 2)]


@pytest.mark.processes
def test_live_replicas_say_what_they_share(tmp_path: Path) -> None:
    with RealCluster(tmp_path / "cluster") as cluster:
        told = json.loads(cluster.outvote("doctor", "--json", code=1).stdout)
    assert told["silent"] == []
    kinds = {one["kind"] for one in told["domains"] if one["too_large"]}
    assert kinds == {"address", "keys", "host", "kernel", "python", "outvote", "machine"}
    assert told["effective_faults"] == 0


@pytest.mark.processes
def test_a_class_of_another_shape_does_not_start(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    create_cluster(tmp_path, name="two", machine=STORE, replicas=4)
    path = tmp_path / CLUSTER_FILE
    path.write_text(path.read_text().replace("id = 3\n", 'id = 3\nmachine = "outvote.machines.ledger:Ledger"\n'))
    assert run_command(["run", str(tmp_path), "--replica", "3"]) == 2
    assert "cannot stand for each other" in capfd.readouterr().err
