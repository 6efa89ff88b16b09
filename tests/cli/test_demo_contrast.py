"""One traitor, two protocols, real processes: PBFT's client reads the truth, Raft's reads what nobody wrote."""

from __future__ import annotations

import pytest

from outvote.cli import endings
from outvote.cli.demo_contrast import SIZES, Reading, lines, run_contrast


def test_the_same_traitor_fools_the_client_of_raft_and_not_that_of_pbft(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_contrast() == endings.DONE
    told = capsys.readouterr().out.splitlines()
    read = next(line for line in told if line.startswith("read then"))
    assert read.split() == ["read", "then", "hello", "forged"]
    assert "FORGED: nobody wrote that" in told[-1]


def test_columns_stand_side_by_side() -> None:
    told = lines([Reading("pbft", SIZES["pbft"], 0, "hello", "hello"), Reading("raft", SIZES["raft"], 2, "hello", "x")])
    column = told[0].index("raft")
    assert all(line[column - 2 : column] == "  " for line in told if len(line) > column)
    assert "replica 2, which leads" in told[5]
