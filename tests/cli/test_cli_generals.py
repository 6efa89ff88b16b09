"""`outvote generals` at the terminal: what it prints, its exit codes, its files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from outvote.cli.main import run_command


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert run_command(["generals", *arguments]) == code
    return capsys.readouterr().out


def test_a_battle_prints_messages_decisions_and_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(capsys, "--n", "4", "--m", "1", "--traitors", "0").split("\n")
    assert lines[2] == '  A sends "attack" to B, "retreat" to C, "attack" to D'
    assert "agreement (IC1): holds" in lines
    assert "messages: 9 sent in 2 rounds; 9 by the exact formula; 16 by the bound n^(m+1)" in lines


def test_a_violation_is_exit_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    shown = told(capsys, "--n", "3", "--traitors", "C", "--strategy", "contrary", code=1)
    assert "validity (IC2): VIOLATED: A is loyal and ordered attack, and is not obeyed by all" in shown
    assert "3 generals, and oral messages need 3m + 1 = 4 of them" in shown
    late = told(capsys, "--traitors", "D", "--strategy", "contrary", "--late", "1:A>C", "--quiet", code=1)
    assert "assumptions: synchrony: what A said to C in round 1 came in round 2" in late
    half = ("--algorithm", "signed", "--n", "4", "--m", "2", "--traitors", "2,3", "--strategy", "contrary")
    assert "no majority of the vector" in told(capsys, *half, "--interactive", "-q", code=1)


def test_json_holds_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    shown = json.loads(told(capsys, "--algorithm", "signed", "--n", "7", "--m", "2", "--traitors", "0,3", "--json"))
    assert shown["holds"] is shown["agreement"] is True
    assert shown["validity"] is None
    assert shown["identified"] == [0]
    assert shown["sent"] == len(shown["messages"])
    assert set(shown["decisions"]) == {"1", "2", "4", "5", "6"}
    council = json.loads(told(capsys, "--interactive", "--json", "--orders", "attack,retreat,attack,attack"))
    assert council["vectors"]["3"] == ["attack", "retreat", "attack", "attack"]


def test_a_table_of_lies_is_found_saved_and_played(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Agreement is VIOLATED!" in told(capsys, "search", "--save", "lies.txt", code=1)
    played = told(capsys, "--n", "6", "--m", "2", "--traitors", "1,3", "--strategy", "lies.txt", code=1)
    assert "C ATTACK, E RETREAT, F ATTACK" in played
    assert told(capsys, "search", "--n", "4", "--m", "1", "--count", "1", "--tries", "40").startswith("none of 40")


def test_evidence_is_verified_by_a_third_party(capsys: pytest.CaptureFixture[str]) -> None:
    shown = told(capsys, "--algorithm", "signed", "--n", "4", "--m", "1", "--traitors", "0", "--evidence", "e.json")
    key = shown.split("--key ")[1].strip()
    assert told(capsys, "verify", "e.json", "--key", key).startswith("proven")
    other = told(capsys, "--algorithm", "signed", "--traitors", "0", "--seed", "1", "--evidence", "other.json")
    stranger = other.split("--key ")[1].strip()
    assert told(capsys, "verify", "e.json", "--key", stranger, code=1).startswith("not proven")
    kept = json.loads(Path("e.json").read_text())
    for changed in (
        {"orders": [kept["orders"][0]] * 2, "seals": [kept["seals"][0]] * 2},
        {"orders": [kept["orders"][0], "dig"]},
        {"battle": 1},
        {"campaign": "00" * 32},
    ):
        Path("changed.json").write_text(json.dumps({**kept, **changed}))
        assert told(capsys, "verify", "changed.json", "--key", key, code=1).startswith("not proven")


def test_three_generals_and_costs(capsys: pytest.CaptureFixture[str]) -> None:
    shown = told(capsys, "three")
    assert "byte for byte the same" in shown
    assert "256 pairs, 0 hold" in shown
    assert json.loads(told(capsys, "three", "--json"))["survivors"] == 0
    rows = json.loads(told(capsys, "costs", "--json"))["rows"]
    assert [row["messages"] for row in rows if row["algorithm"].startswith("OM")] == [9, 156, 3609]
    assert all(row["messages"] == row["formula"] for row in rows)


@pytest.mark.parametrize("suffix", ["html", "svg"])
def test_a_battle_is_drawn(capsys: pytest.CaptureFixture[str], suffix: str) -> None:
    file = f"battle.{suffix}"
    told(capsys, "--algorithm", "signed", "--n", "4", "--m", "2", "--traitors", "0,3", "--strategy", "whisper",
         "--diagram", file)
    text = Path(file).read_text()
    assert "a path of 2 in round 3" in text
    assert "decides attack" in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--algorithm", "smoke"], "choose oral or signed"),
        (["--n", "14"], "choose 2 to 13 generals"),
        (["--m", "4", "--n", "13"], "up to m = 3"),
        (["--traitors", "4"], "no general 4 among 4"),
        (["--traitors", "x"], "is no general"),
        (["--traitors", "0,1,2,3"], "leave one loyal"),
        (["--strategy", "smile"], "choose obey, silent"),
        (["--strategy", "no/such.txt"], "cannot be read"),
        (["--late", "0>1"], "write ROUND:SENDER>RECEIVER"),
        (["--late", "3:0>1"], "rounds 1 to 2"),
        (["--order", ""], "is no order"),
        (["--interactive", "--orders", "attack"], "give one for each"),
        (["--evidence", "e.json"], "no loyal general knows of two orders"),
        (["--diagram", "battle.png"], "must end in .html"),
        (["verify", "missing.json", "--key", "00"], "cannot be read"),
        (["search", "--count", "6"], "--count must be"),
    ],
)
def test_mistakes_are_sentences(capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str) -> None:
    assert run_command(["generals", *arguments]) == 2
    shown = capsys.readouterr().err
    assert sentence in shown
    assert shown.count("\n") == 1
