"""What `outvote status` concludes from the replicas' reports, liars among them."""

from __future__ import annotations

import pytest

from outvote.cli.status import Overview, plain_lines
from outvote.configuration.files import create_cluster
from outvote.configuration.genesis import Genesis
from outvote.core.contract import Standing
from outvote.wire.client_messages import Report

A, B, C = (bytes([number]) * 32 for number in (1, 2, 3))


@pytest.fixture(scope="module")
def genesis(tmp_path_factory: pytest.TempPathFactory) -> Genesis:
    directory = tmp_path_factory.mktemp("seven")
    return create_cluster(directory, name="seven", machine="outvote:KeyValueStore", replicas=7)


def report(replica: int, position: int, history: bytes, checkpoint: int = 0, digest: bytes = b"") -> Report:
    standing = Standing(2, True, 2, position, checkpoint, 0, "idle")
    return Report(1, replica, "pbft", standing, 0, history, checkpoint, digest, {})


def overview(genesis: Genesis, reports: list[Report | None]) -> Overview:
    return Overview(genesis, reports, ["" if one else "nobody listens" for one in reports])


def test_replicas_at_different_positions_do_not_disagree(genesis: Genesis) -> None:
    seen = overview(genesis, [report(number, number, bytes([number]) * 32) for number in range(7)])
    assert (seen.disagreements(), seen.astray(), seen.ordering()) == ([], set(), True)
    assert seen.verdict() == "7 of 7 replicas answer; 2 more may fail"


def test_one_that_contradicts_a_weak_quorum_is_astray(genesis: Genesis) -> None:
    seen = overview(genesis, [report(number, 9, B if number == 4 else A) for number in range(7)])
    assert seen.disagreements() == [
        "DISAGREEMENT at position 9: the history of replicas 0, 1, 2, 3, 5, 6 against replica 4"
    ]
    assert seen.astray() == {4}
    assert seen.verdict() == "7 of 7 replicas answer; 1 of them not in agreement; 1 more may fail"
    assert seen.as_json()["more_may_fail"] == 1


def test_states_are_compared_at_equal_checkpoints(genesis: Genesis) -> None:
    reports = [
        report(number, 10 + number, bytes([number]) * 32, 8, C if number == 6 else A) for number in range(7)
    ]
    seen = overview(genesis, [*reports])
    assert seen.astray() == {6}
    assert seen.disagreements()[0].startswith(
        "DISAGREEMENT at position 8: the checkpoint of replicas 0, 1, 2"
    )


def test_without_a_weak_quorum_nobody_is_believed(genesis: Genesis) -> None:
    away = [None] * 3
    seen = overview(genesis, [report(0, 9, A), report(1, 9, A), report(2, 9, B), report(3, 9, B), *away])
    assert seen.astray() == {0, 1, 2, 3}
    assert not seen.ordering()
    assert seen.verdict().endswith("5 are needed: nothing can be ordered until 5 more are back")


def test_who_is_away_is_named_with_the_reason(genesis: Genesis) -> None:
    seen = overview(genesis, [*[report(number, 9, A) for number in range(4)], None, None, None])
    lines = plain_lines(seen)
    assert lines[0].startswith("replica 0: role=backup  view=2  position=9  stable=0  history=010101010101")
    assert lines[2].startswith("replica 2: role=primary")
    assert lines[4] == "replica 4: unreachable: nobody listens"
    assert lines[-1] == "4 of 7 replicas answer; 5 are needed: nothing can be ordered until 1 more is back"
