"""Battles for the tests of the generals."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final

from outvote.cli.generals import Army
from outvote.protocols.generals.battle import Delay, Outcome, Plan, fight
from outvote.protocols.generals.orders import ATTACK, RETREAT, Order
from outvote.protocols.generals.traitors import STRATEGIES, Lines, Making, Table, table
from outvote.types import ReplicaId

ARMY: Final = Army(0)
THIRD: Final = "wait"


def saying(text: str) -> Making:
    """Traitors who follow a table."""
    return lambda situation, seed: table(text)


def battle(plan: Plan, strategy: Making | str = "split", seed: int = 0) -> Outcome:
    making = STRATEGIES[strategy] if isinstance(strategy, str) else strategy
    return fight(plan, making, seed, ARMY.sign, ARMY.opens)


def oral(n: int, m: int, *traitors: ReplicaId, order: Order = ATTACK, late: tuple[Delay, ...] = ()) -> Plan:
    return Plan(False, n, m, order, traitors=traitors, late=late)


def signed(n: int, m: int, *traitors: ReplicaId, order: Order = ATTACK, late: tuple[Delay, ...] = ()) -> Plan:
    return Plan(True, n, m, order, traitors=traitors, late=late)


def lying_tables(speakers: list[tuple[tuple[ReplicaId, ...], ReplicaId]]) -> Iterator[Lines]:
    """Everything that can be said there: two orders, a third one, nothing."""
    for words in product((ATTACK, RETREAT, THIRD, None), repeat=len(speakers)):
        yield dict(zip(speakers, words, strict=True))


def everything_that_one_of_four_can_do() -> Iterator[tuple[Plan, Lines]]:
    for lies in lying_tables([((0,), receiver) for receiver in (1, 2, 3)]):
        yield oral(4, 1, 0), lies
    for order, traitor in product((ATTACK, RETREAT), (1, 2, 3)):
        others = [one for one in (1, 2, 3) if one != traitor]
        for lies in lying_tables([((0, traitor), receiver) for receiver in others]):
            yield oral(4, 1, traitor, order=order), lies


def broken_by_one_of_four() -> int:
    """How many of all battles with four generals and one traitor are broken."""
    outcomes = [
        fight(plan, lambda situation, seed, lies=lies: Table(lies, {}))  # type: ignore[misc]
        for plan, lies in everything_that_one_of_four_can_do()
    ]
    assert len(outcomes) == 4**3 + 2 * 3 * 4**2
    return sum(not outcome.holds for outcome in outcomes)
