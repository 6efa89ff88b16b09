"""Orders of an operator: checked here, carried out by the core.

Kept: nobody but a holder of some replica's signing key gives one, of this one's where a replica obeys its owner alone;
and each is carried out once at most.
"""

from __future__ import annotations

from typing import Final

from outvote.core.contract import Core
from outvote.host.budgets import Budget
from outvote.host.ports import Observer, Opener
from outvote.types import ClientId, ReplicaId
from outvote.wire.client_messages import Order, Ordered

WHAT_CHARACTERS_MAX: Final = 32


class Orders:
    """Of one replica. Numbers are remembered while the process lives: after a restart the view is another one before
    this replica can carry anything out again."""

    __slots__ = ("_core", "_last", "_observer", "_opener", "_replicas")

    def __init__(self, core: Core, replicas: frozenset[ReplicaId], opener: Opener, observer: Observer) -> None:
        self._core = core
        self._replicas = frozenset((core.me,)) if core.obeys_its_owner else replicas
        self._opener = opener
        self._observer = observer
        self._last = 0

    def take(self, client: ClientId, order: Order, forgeries: Budget) -> Ordered:
        """Carry it out, or say why not: first what costs nothing to find out."""
        told = order.statement
        refusal = self._refusal(client, order, forgeries)
        if not refusal:
            self._last = told.number
            refusal = self._core.operate(told.what, told.argument)
            what = "begun" if not refusal else f"not done: {refusal}"
            self._observer.note(f"an operator's order, by the key of replica {order.signer}: {told.what}"
                                f" {told.argument}, {what}")  # fmt: skip
        return Ordered(told.number, refusal)

    def _refusal(self, client: ClientId, order: Order, forgeries: Budget) -> str:
        told, core = order.statement, self._core
        view = core.standing().view
        if len(told.what) > WHAT_CHARACTERS_MAX:
            return f"an order has a name of at most {WHAT_CHARACTERS_MAX} characters"
        if told.view != view:
            return f"the view is {view}, and the order is for {told.view}: look again, and give it anew"
        if told.number <= self._last:
            return f"order {told.number} is not newer than the last one, {self._last}"
        if not forgeries.allows(client, core.now):
            return "busy: too many of your seals did not open"
        if order.signer not in self._replicas or not self._opener.opens(order.claim()):
            forgeries.take(client, core.now)
            self._observer.lie(client, "seal", "an order that is not sealed with a replica's key")
            whose = "this replica" if self._replicas == {core.me} else "a replica of this cluster"
            return f"it is not sealed with the key of {whose}"
        return ""
