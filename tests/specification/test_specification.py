"""The specification of PBFT holds in every state that it can reach, and does not hold once a rule is turned off."""

from __future__ import annotations

from pathlib import Path

import pytest
from exploring import Symmetry, explore, is_counterexample
from planted_rules import (
    PLANTED,
    PLANTED_UNPROVEN,
    TRAITORS,
    PlantedRule,
    first_counterexample,
    first_unproven_counterexample,
)

from outvote.protocols.pbft.specification import Action, Rules, Specification
from outvote.protocols.pbft.specification_authenticators import AuthenticatorSpecification, UnprovenRules

DOCUMENT = Path(__file__).parents[2] / "docs" / "safety.md"
# By the traitor, as docs/safety.md tells. A change of the model changes them: read what it did.
STATES = {0: 11_746, 1: 21_353, 2: 23_011, 3: 9_123}
UNPROVEN_STATES = {0: 34_494, 1: 29_701, 2: 36_139, 3: 11_757}


@pytest.mark.parametrize("traitor", TRAITORS)
def test_three_views_hold_with_one_traitor(traitor: int) -> None:
    found = explore(Specification(traitors=(traitor,)))
    assert found.is_complete
    assert (found.broken, found.states) == ("", STATES[traitor])
    counted = f"{found.states // 1000} {found.states % 1000:03}"
    assert f"| {counted} | {found.depth} |" in DOCUMENT.read_text()


@pytest.mark.parametrize("traitor", [0, 2])
def test_the_form_with_authenticators_holds_too(traitor: int) -> None:
    """The other two places are explored by `make specification`, which the document quotes as well."""
    found = explore(AuthenticatorSpecification(traitors=(traitor,)))
    assert found.is_complete
    assert (found.broken, found.states) == ("", UNPROVEN_STATES[traitor])
    counted = f"{found.states // 1000} {found.states % 1000:03}"
    assert f"| {counted} | {found.depth} |" in DOCUMENT.read_text()


@pytest.mark.parametrize(("what", "choice"), PLANTED_UNPROVEN, ids=[what for what, _ in PLANTED_UNPROVEN])
def test_a_rule_of_the_unproven_choice_turned_off_is_found(what: str, choice: UnprovenRules) -> None:
    found = first_unproven_counterexample(choice)
    assert found.broken.startswith("what is committed stays")
    assert f"| {what} | what is committed stays | {len(found.steps)} |" in DOCUMENT.read_text()
    assert not is_counterexample(AuthenticatorSpecification(traitors=_traitors(found.steps)), found.steps)


def test_the_reductions_change_no_verdict_without_proofs_either() -> None:
    whole = explore(AuthenticatorSpecification((0, 1), (1,)), reduces=False)
    assert whole.is_complete
    assert whole.broken == ""
    for _, choice in PLANTED_UNPROVEN:
        reduced = [explore(AuthenticatorSpecification((0, 1), (one,), choice)) for one in (0, 1)]
        wholes = [explore(AuthenticatorSpecification((0, 1), (one,), choice), reduces=False) for one in (0, 1)]
        assert [bool(one.broken) for one in reduced] == [bool(one.broken) for one in wholes]


@pytest.mark.parametrize("traitor", [0, 1, 3])
def test_the_reductions_change_no_verdict_over_two_views(traitor: int) -> None:
    whole = explore(Specification((0, 1), (traitor,)), reduces=False)
    reduced = explore(Specification((0, 1), (traitor,)))
    assert whole.is_complete
    assert reduced.is_complete
    assert whole.broken == reduced.broken == ""
    assert whole.states > 5 * reduced.states


@pytest.mark.parametrize("planted", PLANTED, ids=lambda one: str(one.what))
def test_a_rule_turned_off_is_found(planted: PlantedRule, capsys: pytest.CaptureFixture[str]) -> None:
    found = first_counterexample(planted.rules)
    print(f"{planted.what}: {found.broken}", *found.steps, sep="\n  ")
    assert found.broken.startswith(planted.breaks)
    said = capsys.readouterr().out
    assert all(str(step) in said for step in found.steps)
    row = f"| {planted.what} | {planted.breaks} | {len(found.steps)} |"
    assert row in DOCUMENT.read_text()
    specification = Specification(traitors=_traitors(found.steps), rules=planted.rules)
    assert is_counterexample(specification, found.steps)
    assert not is_counterexample(Specification(traitors=_traitors(found.steps)), found.steps)
    for place in range(len(found.steps)):
        assert not is_counterexample(specification, found.steps[:place] + found.steps[place + 1 :])


def _traitors(steps: tuple[Action, ...]) -> tuple[int, ...]:
    """The first of those that do nothing in the model, as the search tries them in order."""
    return tuple(one for one in TRAITORS if all(step.replica != one for step in steps))[:1]


@pytest.mark.parametrize(
    "rules", [Rules(quorum=2), Rules(backups_check_requests=False), Rules(votes_end_with_the_view=False)]
)
def test_no_counterexample_is_shorter_than_the_one_printed(rules: Rules) -> None:
    """The search without reductions is breadth first, so it finds a shortest one."""
    assert first_counterexample(rules, reduces=False).depth == len(first_counterexample(rules).steps)


def test_without_a_traitor_and_with_one_too_many() -> None:
    assert explore(Specification((0, 1), ())).broken == ""
    assert explore(Specification((0, 1), (0, 3))).broken.startswith("agreement")


def test_states_that_differ_by_names_are_one() -> None:
    specification = Specification((0, 0, 0), (0,))
    symmetry = Symmetry(specification)
    first = specification.initial
    several = [
        specification.step(first, Action("PREPARE", me, 0, value)) for me in (1, 2, 3) for value in ("a", "b")
    ]
    assert len({symmetry.canonical(one) for one in several if one is not None}) == 1
    assert len(set(several)) == 6
