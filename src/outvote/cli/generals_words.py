"""A battle told in the words of the chapter that everybody knows: generals have letters, orders are in quotes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from outvote.protocols.generals.battle import HEARD, KNOWN, Outcome, Spoken, Withheld
from outvote.protocols.generals.costs import oral_bound, oral_messages, signed_messages
from outvote.protocols.generals.general import LETTERS, Path
from outvote.protocols.generals.interactive import Council
from outvote.protocols.generals.orders import Order
from outvote.types import ReplicaId

COLUMNS_MAX: Final = 4  # generals of whom each message still gets a column of its own


def names(generals: Sequence[ReplicaId]) -> str:
    return ", ".join(LETTERS[one] for one in generals)


def quote(path: Path, order: Order, signed: bool) -> str:
    """What is said: `"C said A said attack"`, or with the signatures behind it, `"attack" signed A, C`."""
    if signed:
        return f'"{order}" signed {names(path)}'
    speakers = "".join(f"{LETTERS[one]} said " for one in reversed(path[:-1]))
    return f'"{speakers}{order}"'


def battle_lines(outcome: Outcome) -> Iterator[str]:
    """Every message, then what each loyal lieutenant makes of them."""
    plan = outcome.plan
    spoken: list[Spoken | Withheld] = [*outcome.messages, *outcome.withheld]
    for round_ in range(1, plan.m + 2):
        yield f"Round {round_}:"
        told = sorted(
            (one for one in spoken if one.round == round_), key=lambda one: (one.path[-1], one.path, one.receiver)
        )
        if not told:
            yield "  nobody says anything"
        for path, messages in groupby(told, key=lambda one: one.path):
            said = list(messages)
            yield "  " + (_commanded(outcome, said) if len(path) == 1 else _told(outcome, path, said))
    yield "Decisions:"
    for general in range(plan.n):
        if general != plan.commander:
            yield f"  {_decision(outcome, general)}"
    yield closing(outcome)


def _commanded(outcome: Outcome, said: Sequence[Spoken | Withheld]) -> str:
    """`A sends "attack" to B, "retreat" to C, nothing to D`"""
    plan, general = outcome.plan, LETTERS[said[0].path[-1]]
    kinds = [(_word(one), _remarks(one, lies=False)) for one in said]
    if len(set(kinds)) == 1 and len(said) == plan.n - 1:
        honest = " (honest commander, all the same)" if plan.commander not in plan.traitors else ""
        return f"{general} sends {kinds[0][0]} to {names([one.receiver for one in said])}{kinds[0][1]}{honest}"
    parts = [
        f"{word} to {LETTERS[one.receiver]}{remarks}" for (word, remarks), one in zip(kinds, said, strict=True)
    ]
    return f"{general} sends {', '.join(parts)}"


def _told(outcome: Outcome, path: Path, said: Sequence[Spoken | Withheld]) -> str:
    """`B tells C: "A said attack"     B tells D: "A said attack"`, in fewer words among many generals."""
    speaker = LETTERS[path[-1]]
    verb = "forwards to" if outcome.plan.signed else "tells"
    remarks = [_remarks(one) for one in said]
    at_the_end = remarks[0] if len(set(remarks)) == 1 else ""
    if outcome.plan.n <= COLUMNS_MAX:
        parts = [
            f"{speaker} {verb} {LETTERS[one.receiver]}: {_quoted(one, outcome.plan.signed)}"
            f"{'' if at_the_end else remark}"
            for one, remark in zip(said, remarks, strict=True)
        ]
        wide = max(len(part) for part in parts) + 4
        return "".join(part.ljust(wide) for part in parts).rstrip() + at_the_end
    grouped: dict[str, list[ReplicaId]] = {}
    for one, remark in zip(said, remarks, strict=True):
        text = f"{_quoted(one, outcome.plan.signed)}{'' if at_the_end else remark}"
        grouped.setdefault(text, []).append(one.receiver)
    parts = [f"{names(receivers)}: {text}" for text, receivers in grouped.items()]
    return f"{speaker} {verb} {'; '.join(parts)}{at_the_end}"


def _word(one: Spoken | Withheld) -> str:
    return f'"{one.order}"' if isinstance(one, Spoken) else "nothing"


def _quoted(one: Spoken | Withheld, signed: bool) -> str:
    return quote(one.path, one.order, signed) if isinstance(one, Spoken) else "(nothing)"


def _remarks(one: Spoken | Withheld, lies: bool = True) -> str:
    if isinstance(one, Withheld):
        return ""
    found = "  (LIES!)" if one.is_lie and lies else ""
    if one.heard_in != one.round:
        found += f"  (comes in round {one.heard_in}, {one.fate})"
    elif one.fate not in (HEARD, KNOWN):
        found += f"  ({one.fate})"
    return found


def _decision(outcome: Outcome, general: ReplicaId) -> str:
    """`B sees: attack(self), retreat(from C), attack(from D) -> majority: ATTACK`"""
    name = LETTERS[general]
    if general not in outcome.decisions:
        return f"{name}: traitor, we don't care what it decides"
    decided = outcome.decisions[general].upper()
    grounds = outcome.grounds[general]
    if outcome.plan.signed:
        known = ", ".join(f"{order}(signed {names(path)})" for path, order in grounds) or "nothing"
        return f"{name} knows: {known} -> choice: {decided}"
    seen = [f"{order}({'self' if len(path) == 1 else f'from {LETTERS[path[-1]]}'})" for path, order in grounds]
    return f"{name} sees: {', '.join(seen)} -> majority: {decided}"


def closing(outcome: Outcome) -> str:
    """Whether the loyal lieutenants agree."""
    decided = {one: order for one, order in outcome.decisions.items() if one != outcome.plan.commander}
    if not decided:
        return "There are no loyal lieutenants. Agreement holds!"
    if outcome.agreement:
        return f"All loyal lieutenants decide {next(iter(decided.values())).upper()}. Agreement holds!"
    each = ", ".join(f"{LETTERS[one]} {order.upper()}" for one, order in decided.items())
    return f"Loyal lieutenants decide differently: {each}. Agreement is VIOLATED!"


def verdict_lines(outcome: Outcome) -> Iterator[str]:
    """Both demands, what they stood on, whom it has shown to be a traitor, and what it cost."""
    plan = outcome.plan
    yield f"agreement (IC1): {'holds' if outcome.agreement else 'VIOLATED'}"
    commander = LETTERS[plan.commander]
    yield "validity (IC2): " + {
        True: f"holds: every loyal lieutenant obeys {commander}",
        False: f"VIOLATED: {commander} is loyal and ordered {plan.order}, and is not obeyed by all",
        None: f"demands nothing: the commander {commander} is a traitor",
    }[outcome.validity]
    broken = outcome.broken_assumptions()
    yield f"assumptions: {'; '.join(broken) if broken else 'all kept'}"
    yield f"identified: {identified(outcome)}"
    yield cost_line(outcome)


def identified(outcome: Outcome) -> str:
    """Agreement does not need to know the traitors: who is shown to be one is another matter."""
    if outcome.evidence is not None:
        orders = " and ".join(outcome.evidence.orders)
        return f"{LETTERS[outcome.evidence.commander]}, whose signature stands under two orders: {orders}"
    if outcome.plan.signed:
        return "nobody: no loyal general has heard two orders that the commander signed; agreement does not need it"
    return "nobody: oral messages prove nothing to a third party; agreement does not need it"


def cost_line(outcome: Outcome) -> str:
    """The count beside the formula, and beside the bound that is often quoted for it."""
    n, m, sent = outcome.plan.n, outcome.plan.m, len(outcome.messages)
    rounds = f"{m + 1} round{'s' if m else ''}"
    if outcome.plan.signed:
        return (
            f"messages: {sent} sent in {rounds}; {signed_messages(n, m)} by the formula for one order, "
            f"{signed_messages(n, m, 2)} at most for two; {outcome.signatures} signatures made and "
            f"{outcome.verifications} verified by loyal generals"
        )
    return (
        f"messages: {sent} sent in {rounds}; {oral_messages(n, m)} by the exact formula; "
        f"{oral_bound(n, m)} by the bound n^(m+1)"
    )


def council_lines(council: Council) -> Iterator[str]:
    """The vectors and the plan that follows."""
    for one, vector in council.vectors.items():
        listed = ", ".join(f"{LETTERS[who]} {order}" for who, order in enumerate(vector))
        yield f"{LETTERS[one]} holds: {listed} -> majority: {council.decisions[one].upper()}"
    yield f"interactive consistency: {'holds' if council.consistent else 'VIOLATED'}"
    yield f"agreement: {'holds' if council.agreement else 'VIOLATED'}"
    yield "validity: " + {
        True: "holds: what all loyal generals propose is the plan",
        False: "VIOLATED: all loyal generals propose one plan and decide on another",
        None: "demands nothing: loyal generals propose different plans",
    }[council.validity]
    broken = list(dict.fromkeys(text for battle in council.battles for text in battle.broken_assumptions()))
    plan = council.battles[0].plan
    if 2 * len(council.decisions) <= plan.n:
        broken.append(f"{len(council.decisions)} loyal of {plan.n}: the loyal are no majority of the vector")
    yield f"assumptions: {'; '.join(broken) if broken else 'all kept'}"
    yield f"messages: {sum(len(battle.messages) for battle in council.battles)} in {plan.n} battles side by side"
