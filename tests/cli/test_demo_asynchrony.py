"""One schedule, two protocols: what `outvote demo --asynchrony` prints, and when it is content."""

from __future__ import annotations

import pytest

from outvote.cli import demo_asynchrony, endings
from outvote.simulator.scheduler import Fate, Hold


def test_pbft_stands_still_and_honeybadger_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert demo_asynchrony.run_asynchrony() == endings.DONE
    told = capsys.readouterr().out.splitlines()
    answered = next(line for line in told if line.startswith("answered in"))
    assert answered.split()[-6:] == ["0", "of", "30", "30", "of", "30"]
    assert any("nobody leads" in line for line in told)


def test_a_leader_that_executes_something_is_not_what_was_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    holds = (Hold(0, 0),)
    fates = Fate("pbft", 30, 1, 5, 30, holds), Fate("honeybadger", 30, 30, 0, 30, holds)
    monkeypatch.setattr(demo_asynchrony, "contrast", lambda *_: fates)
    assert demo_asynchrony.run_asynchrony() == endings.NEGATIVE
