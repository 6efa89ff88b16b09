"""What failed once holds from now on: regressions.toml, run by run. Soaks write theirs in the same form."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from outvote.errors import Mistake
from outvote.simulator.campaigns import regressions
from outvote.simulator.campaigns.regressions import Regression
from outvote.simulator.plan import Fault, Plan, Split
from outvote.simulator.runs import run_plan

KEPT: Final = regressions.load(Path(__file__).with_name("regressions.toml"))


@pytest.mark.parametrize("regression", KEPT, ids=lambda one: str(one.name))
def test_what_failed_once_holds(regression: Regression) -> None:
    result = run_plan(regression.protocol, regression.smallest())
    assert result.violation == ""
    assert result.events > 100, "nothing happens in this run any more: keep another one"


def test_a_planted_mistake_is_found_by_the_regression_that_it_once_was(monkeypatch: pytest.MonkeyPatch) -> None:
    (one,) = [one for one in KEPT if one.name == "batch-beyond-the-window"]
    monkeypatch.setattr("outvote.protocols.pbft.state.State.in_window", lambda _self, position: position > 0)
    assert "slots outside the window" in run_plan("pbft", one.smallest()).violation


def test_waiting_for_what_was_executed_is_found_by_the_regression_that_it_once_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (one,) = [one for one in KEPT if one.name == "waits-for-what-a-fetched-state-has-executed"]
    monkeypatch.setattr("outvote.core.request_pool.RequestPool.forget", lambda _self, _keys: None)
    assert run_plan("pbft", one.smallest()).violation.startswith("livelock")


def test_names_are_told_apart() -> None:
    assert len({one.name for one in KEPT}) == len(KEPT)
    assert KEPT


def test_a_regression_is_kept_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "found.toml"
    assert regressions.load(path) == []
    splits = (Split(1, 2, ((0, 1), (2,))),)
    plan = Plan(seed=7, faults=(Fault(1, "cut", 0, 1),), splits=splits, parameters={"window": 4})
    with_plan = Regression(name="a", what="agreement: \"x\"", protocol="pbft", case="7", plan=regressions.as_text(plan))
    with_case = Regression(name="b", what="liveness", protocol="pbft", case="twins:random:3")
    path.write_text("# kept by hand\n")
    regressions.append(path, [with_plan])
    regressions.append(path, [with_case])
    assert path.read_text().startswith("# kept by hand")
    assert regressions.load(path) == [with_plan, with_case]
    assert with_plan.smallest() == plan
    assert with_case.smallest().twins


@pytest.mark.parametrize("text", ["regression = 3", "[[regression]]\nname = 'x'", "not toml", "[[other]]\nx = 1"])
def test_a_file_of_another_form_is_refused_in_a_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(Mistake, match="is no file of regressions"):
        regressions.load(path)


def test_a_plan_that_is_none_is_refused_in_a_sentence() -> None:
    with pytest.raises(Mistake, match="a plan that is none"):
        Regression(name="a", what="", protocol="pbft", case="7", plan="{]").smallest()
