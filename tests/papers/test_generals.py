"""Lamport, Shostak and Pease, "The Byzantine Generals Problem", TOPLAS 1982, section by section.

The files in papers/generals hold the two OM(1) traces as a widely read chapter prints them, and the lies by which two
traitors among six break OM(2).
"""

from __future__ import annotations

import re
from itertools import combinations, product
from pathlib import Path
from typing import Final

import pytest
from generals_pieces import ARMY, THIRD, battle, broken_by_one_of_four, oral, saying, signed

from outvote.cli.generals import Army
from outvote.cli.generals_words import battle_lines
from outvote.protocols.generals.battle import Delay, Outcome, Plan
from outvote.protocols.generals.costs import oral_bound, oral_messages, signed_messages
from outvote.protocols.generals.interactive import confer
from outvote.protocols.generals.orders import ATTACK, RETREAT, choice, majority
from outvote.protocols.generals.search import find
from outvote.protocols.generals.three_generals import B, C, cases, enumerate_rules, view_bytes
from outvote.protocols.generals.traitors import STRATEGIES, Situation
from outvote.types import ReplicaId

FILES: Final = Path(__file__).parent / "generals"


# ---------------------------------------------------------------------- section 1: three generals


def test_a_lieutenant_of_three_sees_the_same_whoever_lies() -> None:
    first, second, third = cases()
    assert first.outcome.plan.traitors != second.outcome.plan.traitors
    assert view_bytes(first.outcome, B) == view_bytes(second.outcome, B) != b""
    assert view_bytes(first.outcome, C) == view_bytes(third.outcome, C)
    assert view_bytes(first.outcome, B) != view_bytes(first.outcome, C)


def test_every_deterministic_rule_for_three_generals_fails_somewhere() -> None:
    tried = enumerate_rules()
    assert (tried.pairs, tried.survivors) == (256, 0)
    assert sum(tried.failures.values()) == 256
    assert all(tried.failures.values())


def test_two_traitors_among_six_are_found_that_break_oral_messages() -> None:
    found = find(oral(6, 2), traitors=2, tries=50, breaks=lambda outcome: not outcome.agreement)
    assert found is not None
    assert len(found.plan.traitors) == 2
    again = battle(found.plan, saying(found.table()))
    assert not again.agreement
    assert again.decisions == found.outcome.decisions


def test_the_two_traitors_among_six_still_break_it() -> None:
    lies = (FILES / "two_of_six.txt").read_text()
    outcome = battle(oral(6, 2, 1, 3), saying(lies))
    assert outcome.decisions == {0: ATTACK, 2: ATTACK, 4: RETREAT, 5: ATTACK}
    # A seventh general is enough against the same lies.
    assert battle(oral(7, 2, 1, 3), saying(lies)).holds


# ---------------------------------------------------------------------- section 3: oral messages


def trace(outcome: Outcome) -> list[str]:
    """As printed, without headings."""
    return [line.strip() for line in battle_lines(outcome) if not line.startswith(("Round", "Decisions"))]


def told(line: str) -> str:
    """Spaces aside, and with the reports of a `sees` line in the order of the generals: the chapter has D's backwards.
    It says "both honest" of two lieutenants where outvote says "all loyal"."""
    line = " ".join(line.split()).replace("Both honest lieutenants", "All loyal lieutenants")
    head, sees, tail = line.partition(" sees: ")
    reports, arrow, decision = tail.partition(" -> ")
    own, *others = reports.split(", ")
    others.sort(key=lambda report: re.sub(r".*from", "", report))
    return head + sees + ", ".join([own, *others]) + arrow + decision if sees else line


@pytest.mark.parametrize(
    ("name", "traitor", "strategy"),
    [("commander_is_the_traitor", 0, "split"), ("lieutenant_is_the_traitor", 3, "contrary")],
)
def test_the_two_traces_of_om_1_line_by_line(name: str, traitor: ReplicaId, strategy: str) -> None:
    printed = trace(battle(oral(4, 1, traitor), strategy))
    chapter = [line for line in (FILES / f"{name}.txt").read_text().split("\n") if line]
    assert [told(line) for line in printed] == [told(line) for line in chapter]
    assert len(printed) == 8


def test_om_0_trusts_the_commander() -> None:
    assert battle(oral(4, 0)).decisions == dict.fromkeys(range(4), ATTACK)
    assert battle(oral(4, 0, 3), "contrary").holds
    assert not battle(oral(4, 0, 0), "split").agreement
    assert battle(oral(4, 0, 0), "silent").decisions == dict.fromkeys((1, 2, 3), RETREAT)


def test_om_1_bears_everything_that_one_of_four_can_do() -> None:
    assert broken_by_one_of_four() == 0


SIZES: Final = [(5, 1, 60), (7, 2, 60), (8, 2, 30), (10, 2, 15), (10, 3, 6), (13, 3, 1)]


@pytest.mark.parametrize(("n", "m", "battles"), SIZES)
def test_theorem_1_oral_messages_bear_m_traitors_among_3m_plus_1(n: int, m: int, battles: int) -> None:
    """Half of the battles with a traitor in command."""
    for seed in range(battles):
        lieutenants = list(combinations(range(1, n), m - seed % 2))
        traitors = (*((0,) if seed % 2 else ()), *lieutenants[seed * 7919 % len(lieutenants)])
        assert len(traitors) == m
        outcome = battle(oral(n, m, *traitors, order=(ATTACK, RETREAT)[seed // 2 % 2]), "random", seed)
        assert outcome.holds, (seed, traitors)


@pytest.mark.parametrize(("n", "m"), [(3, 1), (6, 2), (9, 3)])
def test_with_3m_generals_random_lies_break_it(n: int, m: int) -> None:
    traitors = tuple(range(1, m + 1))
    assert any(not battle(oral(n, m, *traitors), "random", seed).holds for seed in range(20))


@pytest.mark.parametrize(("n", "m", "count", "bound"), [(4, 1, 9, 16), (7, 2, 156, 343), (10, 3, 3609, 10_000)])
def test_messages_counted_beside_the_formula_and_the_bound(n: int, m: int, count: int, bound: int) -> None:
    outcome = battle(oral(n, m), "obey")
    assert len(outcome.messages) == count == oral_messages(n, m)
    assert {said.round for said in outcome.messages} == set(range(1, m + 2))
    assert oral_bound(n, m) == bound > count


def test_a_late_message_breaks_oral_messages() -> None:
    plan = oral(4, 1, 3)
    assert battle(plan, "contrary").validity is True
    late = battle(plan._replace(late=(Delay(1, 0, 2),)), "contrary")
    assert late.validity is False
    assert late.broken_assumptions() == ["synchrony: what A said to C in round 1 came in round 2"]
    # A traitor's own delays break no assumption: it may keep silent as well.
    assert battle(oral(4, 1, 3, late=(Delay(2, 3, 1),)), "contrary").holds


# ---------------------------------------------------------------------- section 4: signed messages


def test_three_generals_are_enough_with_signatures() -> None:
    outcome = battle(signed(3, 1, 0))
    assert outcome.decisions == {1: RETREAT, 2: RETREAT}
    assert battle(signed(3, 1, 2), "contrary").decisions == {0: ATTACK, 1: ATTACK}


@pytest.mark.parametrize("n", [3, 4, 5, 6])
@pytest.mark.parametrize("strategy", ["random", "chains", "whisper", "halves", "contrary"])
def test_theorem_2_signed_messages_bear_any_m(n: int, strategy: str) -> None:
    for m, seed in product(range(1, n - 1), range(4)):
        for traitors in list(combinations(range(n), m))[seed % 2 :: 2]:
            outcome = battle(signed(n, m, *traitors), strategy, seed)
            assert outcome.holds, (m, seed, traitors)


def test_more_traitors_than_m_break_signed_messages() -> None:
    """Three traitors have signatures enough for a chain of three, which a single loyal general hears last."""
    lies = "@3 0 1 2 -> 3: retreat"
    outcome = battle(signed(6, 2, 0, 1, 2), saying(lies))
    assert (outcome.decisions[3], outcome.decisions[4]) == (RETREAT, ATTACK)
    assert outcome.broken_assumptions() == ["3 traitors, and the algorithm is played for m = 2"]
    assert battle(signed(6, 3, 0, 1, 2), saying(lies)).holds


def test_messages_of_signed_generals() -> None:
    """Polynomial: each lieutenant passes each of at most two orders on once."""
    for n, m in ((4, 1), (7, 2), (10, 3), (13, 11)):
        assert len(battle(signed(n, m), "obey").messages) == signed_messages(n, m) == (n - 1) + (n - 1) * (n - 2)
        honest = [one for one in battle(signed(n, m, 0), "halves").messages if one.path != (0,)]
        assert len(honest) <= signed_messages(n, m, 2) - (n - 1)


def test_a_late_message_breaks_signed_messages() -> None:
    plan, lies = signed(3, 1, 0), saying("0 -> 1: retreat")
    assert battle(plan, lies).agreement
    late = battle(plan._replace(late=(Delay(2, 1, 2),)), lies)
    assert late.decisions == {1: RETREAT, 2: ATTACK}
    assert late.broken_assumptions() == ["synchrony: what B said to C in round 2 came in round 3"]


def test_two_orders_of_a_commander_are_proof_and_one_is_none() -> None:
    proof = battle(signed(4, 1, 0)).evidence
    assert proof is not None
    assert proof.commander == 0
    assert proof.excludes_honesty()
    assert all(ARMY.opens(claim) for claim in proof.claims())
    strangers = Army(1)
    assert not any(strangers.opens(claim) for claim in proof.claims())
    assert battle(signed(4, 1, 3), "contrary").evidence is None
    # What is refused for its round decides nothing, and convicts all the same.
    late = battle(signed(4, 2, 0, 3), "whisper")
    assert late.decisions == {1: ATTACK, 2: ATTACK}
    assert late.evidence is not None
    assert late.evidence.orders == (ATTACK, RETREAT)
    assert battle(signed(4, 1, 0), "silent").evidence is None


def test_oral_generals_agree_and_can_accuse_nobody() -> None:
    outcome = battle(oral(4, 1, 0))
    assert outcome.agreement
    assert outcome.evidence is None


# ---------------------------------------------------------------------- all generals propose


@pytest.mark.parametrize("strategy", ["split", "contrary", "random", "silent"])
@pytest.mark.parametrize("plan", [oral(4, 1, 2), oral(7, 2, 1, 4), signed(4, 1, 2), signed(5, 2, 1, 4)])
def test_interactive_consistency(plan: Plan, strategy: str) -> None:
    orders = [(ATTACK, RETREAT, THIRD)[one % 3] for one in range(plan.n)]
    council = confer(plan, orders, STRATEGIES[strategy], 0, ARMY.sign, ARMY.opens)
    vectors = list(council.vectors.values())
    assert all(vector == vectors[0] for vector in vectors)
    assert all(vectors[0][one] == orders[one] for one in council.vectors)
    assert council.holds
    alike = confer(plan, [ATTACK] * plan.n, STRATEGIES[strategy], 0, ARMY.sign, ARMY.opens)
    assert set(alike.decisions.values()) == {ATTACK}
    assert alike.validity is True


def test_signatures_do_not_make_a_minority_prevail() -> None:
    """Half of four are traitors: the vector is consistent, and what all loyal generals propose is not the plan."""
    council = confer(signed(4, 2, 2, 3), [ATTACK] * 4, STRATEGIES["contrary"], 0, ARMY.sign, ARMY.opens)
    assert council.consistent
    assert council.agreement
    assert council.validity is False


def test_majority_and_choice() -> None:
    assert majority([ATTACK, RETREAT, ATTACK]) == ATTACK
    assert majority([ATTACK, ATTACK, THIRD, THIRD]) == majority([]) == RETREAT
    assert majority([ATTACK, THIRD, RETREAT], default=THIRD) == THIRD
    assert choice([ATTACK]) == ATTACK
    assert choice([]) == choice([ATTACK, THIRD]) == RETREAT


def test_a_battle_is_repeated_by_its_seed() -> None:
    plan = signed(5, 2, 0, 3)
    first, again, other = (battle(plan, "chains", seed) for seed in (7, 7, 8))
    assert first == again
    assert first.messages != other.messages


def test_traitors_know_the_situation() -> None:
    assert Situation(4, 1, 0, ATTACK, (0, 2)).loyal == (1, 3)
