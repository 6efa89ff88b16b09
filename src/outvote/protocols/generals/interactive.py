"""All generals propose: each commands a battle of its own, side by side, and all decide by the vector of the outcomes.

The vector is interactive consistency: the same at every loyal general, with every loyal general's own proposal in its
place. The plan that follows from it is the majority, so loyal generals who all propose the same get it - if more than
half of all generals are loyal. Signed messages give the same vector among any n >= m + 2, but no such majority: with
signatures and half of the generals traitors, agreement holds and the second demand does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from outvote.errors import Mistake
from outvote.protocols.generals.battle import Opens, Outcome, Plan, Sign, fight, no_opening, no_signing
from outvote.protocols.generals.orders import Order, majority
from outvote.protocols.generals.traitors import Making
from outvote.types import ReplicaId


class Council(NamedTuple):
    """n battles that have been fought."""

    battles: list[Outcome]  # the i-th was commanded by general i
    vectors: Mapping[ReplicaId, tuple[Order, ...]]  # of the loyal
    decisions: Mapping[ReplicaId, Order]  # of the loyal: the majority of the vector

    @property
    def consistent(self) -> bool:
        """Interactive consistency: one vector, with every loyal general's proposal in its place."""
        return len(set(self.vectors.values())) <= 1 and all(battle.holds for battle in self.battles)

    @property
    def agreement(self) -> bool:
        """All loyal generals decide on the same plan."""
        return len(set(self.decisions.values())) <= 1

    @property
    def validity(self) -> bool | None:
        """If all loyal generals propose the same plan, that is the decision. None: they do not."""
        proposed = dict.fromkeys(self.battles[one].plan.order for one in self.decisions)
        return all(order in proposed for order in self.decisions.values()) if len(proposed) == 1 else None

    @property
    def holds(self) -> bool:
        return self.consistent and self.agreement and self.validity is not False


def confer(
    plan: Plan, orders: Sequence[Order], strategy: Making, seed: int = 0, sign: Sign = no_signing,
    opens: Opens = no_opening,
) -> Council:
    """`plan` tells everything but who commands what. Raises Mistake."""
    if len(orders) != plan.n:
        raise Mistake(f"{len(orders)} orders for {plan.n} generals: give one for each")
    battles = [
        fight(plan._replace(commander=one, order=orders[one], battle=one), strategy, seed + one, sign, opens)
        for one in range(plan.n)
    ]
    loyal = plan.situation().loyal
    vectors = {one: tuple(battle.decisions[one] for battle in battles) for one in loyal}
    decisions = {one: majority(vector, plan.default) for one, vector in vectors.items()}
    return Council(battles, vectors, decisions)
