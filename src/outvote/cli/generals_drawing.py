"""A battle as a chronicle, for the diagrams: a lane for each general, a band for each round."""

from __future__ import annotations

from typing import Final

from outvote.cli.generals_words import quote
from outvote.observe.chronicle import Chronicle, EventKind
from outvote.protocols.generals.battle import HEARD, KNOWN, Outcome
from outvote.protocols.generals.general import LETTERS

ROUND: Final = 1000  # a round's length in the chronicle's units
ARRIVAL: Final = 700  # when in a round its messages are heard
REFUSED: Final = 50  # after that


def chronicle_of(outcome: Outcome, title: str) -> Chronicle:
    """Messages leave when a round begins and arrive within it, unless they are late."""
    plan = outcome.plan
    chronicle = Chronicle(title, unit="round", unit_ns=ROUND)
    for one in range(plan.n):
        role = "commander" if one == plan.commander else "general"
        traitor = one in plan.traitors
        chronicle.add_lane(LETTERS[one], role, "traitor" if traitor else "", traitor)
    arrivals: dict[int, list[tuple[int, str, int, int]]] = {}
    for round_ in range(1, plan.m + 3):
        begins = round_ * ROUND
        for said in (one for one in outcome.messages if one.round == round_):
            number = chronicle.sent(
                begins, said.path[-1], said.receiver, "Order" if len(said.path) == 1 else "Relay",
                quote(said.path, said.order, plan.signed), f"round {said.round}\npath {said.path}", said.is_lie,
            )
            arrivals.setdefault(said.heard_in, []).append((number, said.fate, said.receiver, said.path[-1]))
        for withheld in (one for one in outcome.withheld if one.round == round_):
            chronicle.withheld(begins, withheld.path[-1], withheld.receiver, "Relay", "says nothing")
        heard = arrivals.get(round_, [])
        for number, _, _, _ in heard:
            chronicle.arrived(begins + ARRIVAL, number)
        for _, fate, receiver, sender in heard:
            if fate not in (HEARD, KNOWN):
                chronicle.happened(begins + ARRIVAL + REFUSED, EventKind.LIE_NOTICED, receiver, fate, peer=sender)
    end = (plan.m + 2) * ROUND + ARRIVAL + 2 * REFUSED
    for one, order in outcome.decisions.items():
        chronicle.happened(end, EventKind.NOTE, one, f"decides {order}")
    if outcome.evidence is not None:
        text = f"{LETTERS[plan.commander]} has signed {' and '.join(outcome.evidence.orders)}"
        chronicle.happened(end, EventKind.EVIDENCE, plan.commander, text, peer=plan.commander)
    if not outcome.holds:
        chronicle.violation(end, "agreement is violated" if not outcome.agreement else "validity is violated")
    return chronicle
