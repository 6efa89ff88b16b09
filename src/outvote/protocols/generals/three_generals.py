"""Three generals, one traitor, oral messages: impossible (section 1 of the paper), by enumeration.

The two cases that B cannot tell apart are played by the real generals, and B's view is compared byte by byte. Then
every deterministic rule is tried: a rule says for each of the four views that a lieutenant can have (what the commander
said, what the other one says that it said) what to do. B and C may follow different ones. Each of the 256 pairs fails
in one of three cases. That is complete for one round of relaying; for protocols that talk longer the paper's proof is
needed, and says the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Final, NamedTuple, TypeAlias

from outvote.core.contract import canonical
from outvote.protocols.generals.battle import Outcome, Plan, fight
from outvote.protocols.generals.oral_messages import OralMessage
from outvote.protocols.generals.orders import ATTACK, RETREAT, Order
from outvote.protocols.generals.traitors import table
from outvote.types import ReplicaId

A: Final = 0
B: Final = 1
C: Final = 2

View: TypeAlias = tuple[Order, Order]  # what the commander said, what the other lieutenant says
Rule: TypeAlias = Mapping[View, Order]

VIEWS: Final[tuple[View, ...]] = tuple(product((ATTACK, RETREAT), (ATTACK, RETREAT)))


class Case(NamedTuple):
    """What happens, and what the loyal lieutenants owe each other or their commander."""

    name: str
    outcome: Outcome

    def failure(self, rules: Mapping[ReplicaId, Rule]) -> str:
        """How lieutenants who follow these rules fail here; empty if they do not."""
        plan = self.outcome.plan
        decisions = {
            one: rules[one][view_of(self.outcome, one)] for one in (B, C) if one not in plan.traitors
        }
        if plan.commander not in plan.traitors and any(order != plan.order for order in decisions.values()):
            return f"{self.name}: the loyal commander ordered {plan.order}, and is not obeyed"
        if len(set(decisions.values())) > 1:
            return f"{self.name}: B decides {decisions[B]}, C {decisions[C]}"
        return ""


def cases() -> tuple[Case, Case, Case]:
    """The chapter's two, and the second with the lieutenants' parts exchanged."""
    return (
        _case("case 1, A is the traitor", ATTACK, A, "A -> C: retreat"),
        _case("case 2, C is the traitor", ATTACK, C, "A C -> B: retreat"),
        _case("case 3, B is the traitor", RETREAT, B, "A B -> C: attack"),
    )


def _case(name: str, order: Order, traitor: ReplicaId, lies: str) -> Case:
    plan = Plan(signed=False, n=3, m=1, order=order, traitors=(traitor,))
    return Case(name, fight(plan, lambda situation, seed: table(lies)))


def view_of(outcome: Outcome, lieutenant: ReplicaId) -> View:
    """What it has heard: from the commander, from the other one."""
    heard = [message.order for _, _, message in outcome.views[lieutenant] if isinstance(message, OralMessage)]
    return heard[0], heard[1]


def view_bytes(outcome: Outcome, lieutenant: ReplicaId) -> bytes:
    """All that it has heard - round, speaker, message - as bytes."""
    return b"".join(
        bytes((round_, sender)) + canonical(message) for round_, sender, message in outcome.views[lieutenant]
    )


class Enumeration(NamedTuple):
    """Every pair of rules, and where it fails first."""

    pairs: int
    failures: Mapping[str, int]  # by the case's name
    survivors: int


def enumerate_rules() -> Enumeration:
    """Try all 16 x 16."""
    rules = [dict(zip(VIEWS, orders, strict=True)) for orders in product((ATTACK, RETREAT), repeat=len(VIEWS))]
    told = cases()
    failures = {case.name: 0 for case in told}
    survivors = 0
    for mine, others in product(rules, repeat=2):
        failed = next((case.name for case in told if case.failure({B: mine, C: others})), None)
        if failed is None:
            survivors += 1
        else:
            failures[failed] += 1
    return Enumeration(len(rules) ** 2, failures, survivors)
