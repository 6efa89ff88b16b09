"""The tool that plants mutants, tested: a fault that matters is noticed, one that means nothing survives."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import survey
from killers import Verdict
from mutants import ROOT, mutants_of
from survey import KINDS, Explanation, every_mutant, explanations, page

TOOL = Path(__file__).with_name("survey.py")
TEXT = '''"""Prose with 1 number."""
LIMIT = 4
class Door:
    """More prose."""
    def __init__(self, open_now: bool = False) -> None:
        self.open_now = open_now
    def may_enter(self, age: int, guests: list[int]) -> bool:
        if not self.open_now or age < LIMIT:
            return False
        for guest in guests:
            if guest > age:
                continue
            self.count -= min(guest, 2)
            self.log.append(f"{guest + 1} is in")
        assert age > 0
        if age == 3:
            raise ValueError("three" + str(3))
        return self.open_now and self.fit(age)
'''


def test_every_operator_finds_its_places_and_leaves_prose_alone() -> None:
    found = list(mutants_of("core.quorums", TEXT))
    assert [(mutant.operator, mutant.change) for mutant in found] == [
        ("shift a number", "LIMIT = 4 → LIMIT = 5"),
        ("shift a number", "LIMIT = 4 → LIMIT = 3"),
        ("flip a flag", "self, open_now: bool=False → self, open_now: bool=True"),
        ("force a condition", "if not self.open_now or age < LIMIT → if True"),
        ("force a condition", "if not self.open_now or age < LIMIT → if False"),
        ("swap and, or", "not self.open_now or age < LIMIT → not self.open_now and age < LIMIT"),
        ("drop a condition", "without not self.open_now in not self.open_now or age < LIMIT"),
        ("drop a condition", "without age < LIMIT in not self.open_now or age < LIMIT"),
        ("drop a not", "not self.open_now → self.open_now"),
        ("shift a comparison", "age < LIMIT → age <= LIMIT"),
        ("flip a flag", "return False → return True"),
        ("force a condition", "if guest > age → if True"),
        ("force a condition", "if guest > age → if False"),
        ("shift a comparison", "guest > age → guest >= age"),
        ("swap continue and break", "continue → break"),
        ("drop an assignment", "drop: self.count -= min(guest, 2)"),
        ("swap arithmetic", "self.count -= min(guest, 2) → self.count += min(guest, 2)"),
        ("swap min, max, any, all", "min(guest, 2) → max(guest, 2)"),
        ("shift a number", "min(guest, 2) → min(guest, 3)"),
        ("shift a number", "min(guest, 2) → min(guest, 1)"),
        ("drop a call", "drop: self.log.append(f'{guest + 1} is in')"),
        ("force a condition", "if age == 3 → if True"),
        ("force a condition", "if age == 3 → if False"),
        ("shift a comparison", "age == 3 → age != 3"),
        ("shift a number", "age == 3 → age == 4"),
        ("shift a number", "age == 3 → age == 2"),
        ("swap and, or", "self.open_now and self.fit(age) → self.open_now or self.fit(age)"),
        ("drop a condition", "without self.open_now in self.open_now and self.fit(age)"),
        ("drop a condition", "without self.fit(age) in self.open_now and self.fit(age)"),
        ("negate a return", "return self.open_now and self.fit(age) → return not (self.open_now and self.fit(age))"),
    ]
    assert {mutant.function for mutant in found} == {"", "Door.__init__", "Door.may_enter"}
    assert found[0].source == "LIMIT = 4"
    assert found[0].names == ("LIMIT",)


def test_equal_changes_in_one_function_are_told_apart() -> None:
    changes = [mutant.change for mutant in mutants_of("core.quorums", "def f(x):\n    x.go()\n    x.go()\n")]
    assert changes == ["drop: x.go()", "drop: x.go() (2)"]


KILLED_IN_A_FUNCTION = "core.quorums:quorum: n + faults(n) + 2 → n + faults(n) + 1"
KILLED_AT_IMPORT = "core.quorums:: REPLICAS_MAX: Final = 100 → REPLICAS_MAX: Final = 99"
EQUIVALENT = "core.quorums:_size_advice: smallest + 3 → smallest + 2"  # sizes go by three: 100 is one, 101 and 102 not


def test_a_mutant_that_matters_is_killed_and_an_equivalent_one_survives(tmp_path: Path) -> None:
    """In a process of its own: the tool forks ones that have not loaded the program yet."""
    kept = tmp_path / "verdicts.json"
    tests = ["tests/core/test_quorums.py", "tests/core/test_quorum_words.py"]
    ran = subprocess.run(
        [
            sys.executable, str(TOOL), "--only", KILLED_IN_A_FUNCTION, KILLED_AT_IMPORT, EQUIVALENT,
            "--without-simulation", "--verdicts", str(kept), "--tests", *tests,
        ],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )
    assert kept.exists(), ran.stderr
    verdicts = json.loads(kept.read_text())
    assert verdicts[EQUIVALENT] == ["survived", "not simulated"]
    for key in (KILLED_IN_A_FUNCTION, KILLED_AT_IMPORT):
        outcome, by = verdicts[key]
        assert outcome == "tests", ran.stderr
        assert by.startswith("tests/core/test_quorums.py::")
    assert "| core.quorums | 3 | 2 | 0 | 0 | 1 | 66.7 % |" in ran.stdout


def test_every_explanation_is_of_a_mutant_that_exists() -> None:
    """An explanation whose line was changed since explains nothing: look at the line again."""
    keys = {mutant.key for protocol in ("pbft", "raft") for mutant in every_mutant(protocol)}
    told = explanations()
    assert [key for key in told if key not in keys] == []
    assert EQUIVALENT in told
    assert all(explanation.reason for explanation in told.values())


def test_keys_are_unique() -> None:
    keys = [mutant.key for protocol in ("pbft", "raft") for mutant in every_mutant(protocol)]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[survivor]]\nfunction = "a:f"\nkind = "odd"\nreason = "x"\nchanges = ["y"]', "is no kind"),
        ('[[survivor]]\nfunction = "a:f"\nkind = "text"\nreason = "x"\nchanges = ["y", "y"]', "explained twice"),
    ],
)
def test_a_wrong_table_is_refused(text: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "survivors.toml"
    table.write_text(text)
    monkeypatch.setattr(survey, "EXPLANATIONS", table)
    with pytest.raises(ValueError, match=words):
        explanations()


def test_the_page_counts_and_lists() -> None:
    found = list(mutants_of("core.quorums"))
    verdicts = {mutant.key: Verdict("tests", "t") for mutant in found}
    verdicts[EQUIVALENT] = Verdict("survived", "")
    verdicts[KILLED_AT_IMPORT] = Verdict("survived", "")
    text = page(found, verdicts, {EQUIVALENT: Explanation("equivalent", "sizes go by three")})
    every = len(found)
    assert f"| core.quorums | {every} | {every - 2} | 0 | 0 | 2 |" in text
    assert f"| equivalent | 1 | {KINDS['equivalent']} |" in text
    assert "| not explained | 1 |" in text
    assert "- **equivalent**: sizes go by three\n  - `_size_advice`, `` more = f" in text
    assert "`` smallest + 3 → smallest + 2 ``" in text
