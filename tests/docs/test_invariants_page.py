"""docs/invariants.md holds the table that the checkers themselves give."""

from __future__ import annotations

import inspect
import re
from typing import Final

from documents import ROOT

from outvote.simulator.checkers.catalogue import CHECKERS
from outvote.simulator.checkers.checker import Checker

PAGE: Final = ROOT / "docs" / "invariants.md"
# Two are the world's own (linearizability, liveness), and one is not checked.
ELSEWHERE: Final = ("I15", "I18", "I19")


def first_sentence(checker: type[Checker]) -> str:
    """Of its file: what holds."""
    module = inspect.getmodule(checker)
    assert module is not None
    paragraph = (module.__doc__ or "").partition("\n\n")[0]
    return " ".join(paragraph.split())


def row(checker: type[Checker]) -> str:
    names = ", ".join(f"`{name}`" for name in checker.invariants)
    file = checker.__module__.rpartition(".")[2]
    link = f"[{file}](../src/outvote/simulator/checkers/{file}.py)"
    return f"| {', '.join(checker.covers)} | {names} | {first_sentence(checker)} | {checker.when} | {link} |"


def table() -> str:
    head = "| Number | Names | What holds | When it is checked | File |\n|---|---|---|---|---|\n"
    return head + "\n".join(row(checker) for checker in CHECKERS) + "\n"


def test_the_page_holds_the_table() -> None:
    assert table() in PAGE.read_text(), f"docs/invariants.md should hold this table:\n\n{table()}"


def test_every_checker_says_what_when_and_which() -> None:
    for checker in CHECKERS:
        assert checker.invariants
        assert checker.covers
        assert checker.when
        assert checker.__doc__
        assert re.fullmatch(r"[A-Z].*\.", first_sentence(checker)), checker


def test_no_name_is_used_twice_and_no_number_is_left_out() -> None:
    names = [name for checker in CHECKERS for name in checker.invariants]
    assert len(names) == len(set(names))
    covered = {number for checker in CHECKERS for number in checker.covers}
    assert covered | set(ELSEWHERE) == {f"I{number}" for number in range(1, 23)}
