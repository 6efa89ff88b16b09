"""The sessions of pytest that the how-to shows, played where its programs are."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs" / "how_to" / "test_with_byzantine_faults.md"
SESSION: Final = re.compile(r"^<!-- pytest -->\n```text\n\$ pytest ([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SESSIONS: Final = SESSION.findall(PAGE.read_text())


def differences(told: list[str], shown: list[str]) -> list[str]:
    """Lines that are not as shown; ` ...` stands for what chance and clocks decide."""
    patterns = [re.escape(line).replace(r"\ \.\.\.", " .*") for line in shown]
    pairs = zip(told, patterns, strict=False)
    found = [f"{line!r} is not {pattern!r}" for line, pattern in pairs if not re.fullmatch(pattern, line)]
    return [*found, *told[len(shown) :], *shown[len(told) :]]


@pytest.mark.parametrize(("options", "shown"), SESSIONS, ids=[options for options, _ in SESSIONS])
def test_pytest_prints_what_the_page_shows(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, options: str, shown: str
) -> None:
    for told_to_ci in ("CI", "BUILD_NUMBER"):  # with one of them pytest does not shorten its summary
        monkeypatch.delenv(told_to_ci, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("bank.py", "test_bank.py", "sampler.py", "test_sampler.py"):
        shutil.copy(ROOT / "docs_src" / name, pytester.path)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", *options.split())
    assert differences(result.outlines, shown.splitlines()) == []


def test_the_page_shows_a_success_and_a_failure() -> None:
    assert [("passed" in shown, "failed" in shown) for _, shown in SESSIONS] == [(True, False), (False, True)]


def test_a_planted_wrong_session_is_found() -> None:
    assert differences(["1 passed in 0.2s"], ["1 passed in ..."]) == []
    assert len(differences(["2 passed in 0.2s"], ["1 passed in ..."])) == 1
    assert len(differences(["a", "b"], ["a"])) == len(differences(["a"], ["a", "b"])) == 1


def test_every_option_is_on_the_page_and_every_option_of_the_page_exists(pytester: pytest.Pytester) -> None:
    offered = set(re.findall(r"--byzantine[a-z-]*", pytester.runpytest_inprocess("--help").stdout.str()))
    assert set(re.findall(r"--byzantine[a-z-]*", PAGE.read_text())) == offered
