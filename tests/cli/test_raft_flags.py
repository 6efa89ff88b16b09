"""Flags that only one protocol has, from the command line into cluster.toml and back."""

from __future__ import annotations

from pathlib import Path

import pytest

from outvote.cli.cluster import flags_from, init_cluster, parameters_from
from outvote.cli.serve import make_node
from outvote.configuration.files import load_genesis
from outvote.errors import Mistake


def init(directory: Path, protocol: str, *settings: str) -> None:
    init_cluster(
        directory, replicas=None, hosts=None, machine="outvote.machines.key_value:KeyValueStore", clients=["default"],
        base_port=7000, name=None, protocol=protocol, settings=settings,
    )


def test_a_raft_cluster_says_what_it_tolerates_and_its_flags(tmp_path: Path) -> None:
    init(tmp_path / "one", "raft", "lease=1", "view_timeout_ms=500")
    genesis = load_genesis(tmp_path / "one")
    assert (genesis.n, genesis.tolerates, genesis.flags) == (3, "crashes", {"lease": 1})
    assert genesis.parameters.view_timeout_ms == 500
    committee = genesis.committee()
    assert (committee.faults, committee.liars, committee.quorum, committee.weak) == (1, 0, 2, 1)


def test_a_file_of_pbft_has_neither(tmp_path: Path) -> None:
    init(tmp_path / "one", "pbft")
    text = (tmp_path / "one" / "cluster.toml").read_text()
    assert "tolerates" not in text
    assert "flags" not in text


def test_flags_and_what_is_tolerated_are_part_of_the_cluster(tmp_path: Path) -> None:
    init(tmp_path / "one", "raft")
    path = tmp_path / "one" / "cluster.toml"
    text = path.read_text()
    whole = load_genesis(tmp_path / "one")
    path.write_text(text.replace('tolerates = "crashes"\n', ""))
    assert load_genesis(tmp_path / "one").identity() != whole.identity()
    with pytest.raises(Mistake, match="raft tolerates crashes, and cluster"):
        make_node(tmp_path / "one", 0, say=print)
    path.write_text(text + "\n[flags]\nlease = 1\n")
    assert load_genesis(tmp_path / "one").identity() != whole.identity()


def test_what_no_protocol_has_is_a_mistake() -> None:
    with pytest.raises(Mistake, match="there is no parameter 'lease'"):
        parameters_from(["lease=1"])
    with pytest.raises(Mistake, match="lease is 2: it must be 0 or 1"):
        flags_from(["lease=2"], "raft")
    with pytest.raises(Mistake, match="lease needs check_quorum"):
        flags_from(["lease=1", "check_quorum=0"], "raft")
