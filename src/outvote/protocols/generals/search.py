"""Finds traitors that break a battle: random lies, and then as few of them as do it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import NamedTuple

from outvote.protocols.generals.battle import Opens, Outcome, Plan, Sign, fight, no_opening, no_signing
from outvote.protocols.generals.general import Path
from outvote.protocols.generals.orders import Order
from outvote.protocols.generals.traitors import AtRandom, Lines, Situation, Table, drawn, text_of
from outvote.types import ReplicaId


class Found(NamedTuple):
    """An adversary that breaks a battle."""

    plan: Plan
    lies: Lines
    outcome: Outcome
    tries: int

    def table(self) -> str:
        """For `--strategy FILE`."""
        return text_of(self.lies)


class _Remembering(AtRandom):
    """Random lies that are written down."""

    def __init__(self, situation: Situation, seed: int) -> None:
        super().__init__(situation, seed)
        self.lines: Lines = {}

    def speak(self, round_: int, path: Path, receiver: ReplicaId, order: Order) -> Order | None:
        word = super().speak(round_, path, receiver, order)
        self.lines[path, receiver] = word
        return word


def find(
    plan: Plan, traitors: int, tries: int, seed: int = 0, breaks: Callable[[Outcome], bool] | None = None,
    sign: Sign = no_signing, opens: Opens = no_opening,
) -> Found | None:
    """Draw so many traitors and their lies until `breaks` (by itself: a violation); None if all tries hold.

    What is found is shrunk: a lie without which the battle is broken as well is left out, until none is left that is.
    """
    broken = breaks if breaks is not None else _violated
    choices = list(combinations(range(plan.n), traitors))
    for number in range(tries):
        tried = plan._replace(traitors=choices[drawn(seed, (number,)) % len(choices)])
        liar = _Remembering(tried.situation(), drawn(seed, (number, 1)))
        if broken(fight(tried, lambda situation, ignored, liar=liar: liar, 0, sign, opens)):  # type: ignore[misc]
            return _shrunk(tried, liar.lines, number + 1, broken, sign, opens)
    return None


def _violated(outcome: Outcome) -> bool:
    return not outcome.holds


def _shrunk(
    plan: Plan, lies: Lines, tries: int, broken: Callable[[Outcome], bool], sign: Sign, opens: Opens
) -> Found:
    def again(lines: Lines) -> Outcome:
        return fight(plan, lambda situation, seed: Table(lines, {}), 0, sign, opens)

    smaller = True
    while smaller:
        smaller = False
        for key in list(lies):
            without = {other: order for other, order in lies.items() if other != key}
            if broken(again(without)):
                lies, smaller = without, True
    return Found(plan, lies, again(lies), tries)
