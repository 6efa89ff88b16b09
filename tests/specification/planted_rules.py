"""Bugs planted in the specification: one rule turned off each."""

from __future__ import annotations

from typing import Final, NamedTuple

from exploring import Exploration, explore

from outvote.protocols.pbft.specification import Rules, Specification
from outvote.protocols.pbft.specification_authenticators import AuthenticatorSpecification, UnprovenRules


class PlantedRule(NamedTuple):
    what: str
    rules: Rules
    breaks: str  # the invariant


PLANTED: Final = (
    PlantedRule("quorums of 2f", Rules(quorum=2), "agreement"),
    PlantedRule("requests are not checked", Rules(backups_check_requests=False), "validity"),
    PlantedRule(
        "the certificate of the lowest view wins", Rules(highest_view_wins=False), "what is committed stays"
    ),
    PlantedRule("backups do not check O", Rules(backups_check_new_view=False), "what is committed stays"),
    PlantedRule("certificates need no seals", Rules(certificates_need_seals=False), "what is committed stays"),
    PlantedRule(
        "certificates are kept over one view change only", Rules(certificates_are_kept=False),
        "what is committed stays",
    ),
    PlantedRule("a replica forgets its vote", Rules(votes_are_remembered=False), "what is committed stays"),
    PlantedRule(
        "a replica votes in views that it left", Rules(votes_end_with_the_view=False), "what is committed stays"
    ),
)
TRAITORS: Final = (0, 1, 2, 3)  # the primary of view 0, 1, 2, and one that never is


PLANTED_UNPROVEN: Final = (
    ("a later certificate does not win", UnprovenRules(later_views_win=False)),
    ("nobody vouches for a proposal", UnprovenRules(proposals_are_vouched_for=False)),
    ("f + 1 may say that nothing is prepared", UnprovenRules(nothing_needs_a_quorum=False)),
)


def first_unproven_counterexample(choice: UnprovenRules) -> Exploration:
    """Of the form with authenticators."""
    for traitor in TRAITORS:
        found = explore(AuthenticatorSpecification(traitors=(traitor,), choice=choice))
        if found.broken:
            break
    return found


def first_counterexample(rules: Rules, reduces: bool = True) -> Exploration:
    """With the traitor in the first place where it does harm; the last exploration if there is none."""
    for traitor in TRAITORS:
        found = explore(Specification(traitors=(traitor,), rules=rules), reduces)
        if found.broken:
            break
    return found
