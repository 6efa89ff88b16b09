"""The model of the form with authenticators: what a new view makes of a slot when nobody can prove a certificate.

After Castro and Liskov, TOCS 2002: a VIEW-CHANGE says P, what its sender prepared last, and Q, what it ever accepted,
with the latest view of each. No seal stands behind either, so a traitor claims what it likes; a value is taken over
only if a quorum contradicts it nowhere (A1) and a weak quorum vouches that it was proposed (A2), and none if a quorum
says that it prepared nothing (B). Everything else is as in specification.py.

Acknowledgements and the fetching of missing VIEW-CHANGEs make all see the same VIEW-CHANGE of a traitor in one
NEW-VIEW; here it may differ in each, which allows it more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import combinations
from typing import ClassVar, Final, NamedTuple

from outvote.protocols.pbft.specification import (
    AS_PUBLISHED,
    FREE,
    OUTCOMES_KEPT,
    REQUESTED,
    Certificate,
    Replica,
    Rules,
    Specification,
    State,
    Value,
)
from outvote.types import ReplicaId, View


class UnprovenRules(NamedTuple):
    """Of the choice of a new view; a planted bug turns one off."""

    later_views_win: bool = True  # A1: nobody in a quorum prepared something else in the same view or a later one
    proposals_are_vouched_for: bool = True  # A2
    nothing_needs_a_quorum: bool = True  # B


PUBLISHED: Final = UnprovenRules()


class Shown(NamedTuple):
    """One VIEW-CHANGE, as far as this slot goes."""

    prepared: Certificate | None  # P
    accepted: tuple[Certificate, ...]  # Q: the latest view of each value


class AuthenticatorSpecification(Specification):
    """Four replicas, three views, one traitor, no signatures."""

    shows_votes: ClassVar[bool] = True

    def __init__(
        self, leaders: Sequence[ReplicaId] = (0, 1, 2), traitors: Sequence[ReplicaId] = (0,),
        choice: UnprovenRules = PUBLISHED, rules: Rules = AS_PUBLISHED, n: int = 4,
    ) -> None:
        super().__init__(leaders, traitors, rules, n)
        self.choice = choice
        self.weak = n - rules.quorum + 1  # f + 1: one of them is correct
        self._outcomes = lru_cache(OUTCOMES_KEPT)(self._outcomes_of)

    def new_views(self, state: State, view: View) -> Sequence[Value]:
        """Everything that some set of VIEW-CHANGEs makes of the slot: of correct replicas, and of traitors."""
        said = tuple(self._said(one, view) for one in state.correct() if one.changes[view])
        return self._outcomes(said, state.traitors(), view)

    def _outcomes_of(self, said: tuple[Shown, ...], traitors: int, view: View) -> tuple[Value, ...]:
        found: dict[Value, None] = {}
        for lies in range(traitors + 1):
            for count in range(max(0, self.rules.quorum - lies), len(said) + 1):
                for some in combinations(said, count):
                    for lie in self._lies(view) if lies else [()]:
                        found.update(dict.fromkeys(self._follows([*some, *lie * lies])))
        return tuple(found)

    def _said(self, replica: Replica, view: View) -> Shown:
        latest: dict[Value, View] = {}
        for earlier in range(view):
            if replica.votes[earlier]:
                latest[replica.votes[earlier]] = earlier
        return Shown(self.shown(replica, view), tuple((held, value) for value, held in latest.items()))

    def _lies(self, view: View) -> Iterator[tuple[Shown]]:
        """A traitor's P is anything. Its Q vouches for everything: to leave something out would help nobody."""
        vouches = tuple((view - 1, value) for value in REQUESTED)
        yield (Shown(None, vouches),)
        for earlier in range(view):
            yield from ((Shown((earlier, value), vouches),) for value in REQUESTED)

    def _follows(self, shown: list[Shown]) -> list[Value]:
        """The values that A allows, and FREE if B does; nothing if the primary has to wait for more."""
        found = [
            one.prepared[1] for one in shown
            if one.prepared is not None and self._uncontradicted(shown, one.prepared)
            and (self._vouched_for(shown, one.prepared) or not self.choice.proposals_are_vouched_for)
        ]
        nothing = sum(one.prepared is None for one in shown)
        if nothing >= (self.rules.quorum if self.choice.nothing_needs_a_quorum else self.weak):
            found.append(FREE)
        return found

    def _uncontradicted(self, shown: list[Shown], candidate: Certificate) -> bool:
        """A1."""
        if not self.choice.later_views_win:
            return True
        agree = sum(
            one.prepared is None or one.prepared[0] < candidate[0] or one.prepared == candidate for one in shown
        )
        return agree >= self.rules.quorum

    def _vouched_for(self, shown: list[Shown], candidate: Certificate) -> bool:
        """A2."""
        view, value = candidate
        vouching = sum(any(held >= view and one == value for held, one in each.accepted) for each in shown)
        return vouching >= self.weak
