"""Every state that a specification can reach, breadth first.

Two things make it few enough, and both can be turned off:

- States that differ by names or by what nobody can tell any more are one: see `Symmetry.canonical`.
- What only adds to what has been said, and takes no choice away, is done at once: see `eager`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import permutations
from typing import Final, NamedTuple

from outvote.protocols.pbft.specification import FREE, REQUESTED, UNSAID, Action, Replica, Specification, State, Value

Step = tuple[Action, State]
STATES_MAX: Final = 2_000_000  # a state takes about 1 kB
SWAPPED: Final[dict[Value, Value]] = dict(zip(REQUESTED, reversed(REQUESTED), strict=True))


class Exploration(NamedTuple):
    """`broken` is what does not hold in the last state of `steps`; empty if everything holds everywhere."""

    states: int
    depth: int
    broken: str
    steps: tuple[Action, ...]
    is_complete: bool


class Symmetry:
    """Of one specification."""

    def __init__(self, specification: Specification) -> None:
        self.specification = specification
        replicas = specification.initial.replicas
        n = len(replicas)
        free = [one for one in range(n) if one not in specification.leaders and replicas[one] is not None]
        self._orders = []
        for order in permutations(free):
            places = list(range(n))
            for place, one in zip(free, order, strict=True):
                places[place] = one
            self._orders.append(places)

    def canonical(self, state: State) -> State:
        """The same state for all that differ by the names of the two requests, or of replicas that lead no view, or
        in what can play no part any more."""
        state = self._without_the_dead(state)
        swapped = State(tuple(map(_swap, state.replicas)), tuple(SWAPPED.get(one, one) for one in state.announced))
        if len(self._orders) == 1:
            return min(state, swapped)
        return min(
            State(tuple(one.replicas[place] for place in places), one.announced)
            for one in (state, swapped) for places in self._orders
        )

    def _without_the_dead(self, state: State) -> State:
        """Of a view that all have left, it matters which certificate exists, not of whose votes, unless VIEW-CHANGEs
        show them. VIEW-CHANGEs for a view are worth nothing once its correct primary has announced it or left it."""
        specification = self.specification
        replicas = state.correct()
        lowest = min(one.view for one in replicas)
        votes: dict[int, Value] = {}
        for view in range(0 if specification.shows_votes else lowest):
            certified = [value for value in REQUESTED if specification.certified(state, view, value)]
            if len(certified) < 2:
                votes[view] = certified[0] if certified else FREE
        announced = list(state.announced)
        over = []
        for view in range(1, specification.views):
            leader = state.replicas[specification.leaders[view]]
            if leader is not None and (leader.view > view or announced[view] != UNSAID):
                over.append(view)
            if all(one.view > view or (one.view == view and one.active) for one in replicas):
                announced[view] = UNSAID
                over.append(view)
        return State(
            tuple(None if one is None else _forget(one, tuple(votes.items()), tuple(over)) for one in state.replicas),
            tuple(announced),
        )


@lru_cache(1 << 16)
def _forget(one: Replica, votes: tuple[tuple[int, Value], ...], over: tuple[int, ...]) -> Replica:
    said, changes = list(one.votes), list(one.changes)
    for view, value in votes:
        said[view] = value
    for view in over:
        changes[view] = False
    return one._replace(votes=tuple(said), changes=tuple(changes))


@lru_cache(1 << 16)
def _swap(one: Replica | None) -> Replica | None:
    if one is None:
        return None
    return one._replace(
        bound=SWAPPED.get(one.bound, one.bound), votes=tuple(SWAPPED.get(vote, vote) for vote in one.votes),
        commits=tuple(SWAPPED.get(vote, vote) for vote in one.commits),
    )


def eager(specification: Specification, state: State, steps: Sequence[Step]) -> Sequence[Step]:
    """Some of the steps that are enough: those that could be moved to the front of every run, or put there.

    A first vote in a view, a COMMIT in the last view and the entry into the view that was asked for, if its primary is
    correct, forbid nobody anything; whoever can do without them can do without them after them; and what is broken
    stays broken. A replica's votes are taken together: which of them it casts is a choice.
    """
    for action, _ in steps:
        replica = state.replicas[action.replica]
        assert replica is not None
        if action.view != replica.view:
            continue
        last = action.name == "COMMIT" and action.view == specification.views - 1
        asked = action.name == "ENTER" and state.replicas[specification.leaders[action.view]] is not None
        if last or asked:
            return [one for one in steps if one[0] == action]
        if action.name in ("PRE-PREPARE", "PREPARE") and not replica.votes[action.view]:
            return [one for one in steps if one[0][:3] == action[:3]]
    return steps


def explore(
    specification: Specification, reduces: bool = True, states_max: int = STATES_MAX
) -> Exploration:
    """Breadth first, until something is broken, nothing is left, or `states_max` states are known."""
    canonical = Symmetry(specification).canonical if reduces else _itself
    first = canonical(specification.initial)
    parents: dict[State, State | None] = {first: None}
    frontier, depth = [first], 0
    while frontier and len(parents) <= states_max:
        depth += 1
        following = []
        for state in frontier:
            possible = list(specification.actions(state))
            for _, after in eager(specification, state, possible) if reduces else possible:
                known = canonical(after)
                if known not in parents:
                    parents[known] = state
                    broken = specification.broken(known)
                    if broken:
                        steps = _replay(specification, _path(parents, known), canonical)
                        return Exploration(len(parents), depth, broken, _shorten(specification, steps), False)
                    following.append(known)
        frontier = following
    return Exploration(len(parents), depth - 1, "", (), not frontier)


def _itself(state: State) -> State:
    return state


def _path(parents: dict[State, State | None], last: State) -> list[State]:
    path = [last]
    while (before := parents[path[-1]]) is not None:
        path.append(before)
    return path[::-1]


def _replay(
    specification: Specification, path: Sequence[State], canonical: Callable[[State], State]
) -> list[Action]:
    """The path again with one set of names: canonical states may have changed them on the way."""
    state, taken = specification.initial, []
    for known in path[1:]:
        action, state = next(step for step in specification.actions(state) if canonical(step[1]) == known)
        taken.append(action)
    return taken


def _shorten(specification: Specification, steps: list[Action]) -> tuple[Action, ...]:
    """Leave out every step without which the rest is still possible and still breaks something."""
    for place in range(len(steps) - 1, -1, -1):
        rest = steps[:place] + steps[place + 1 :]
        if is_counterexample(specification, rest):
            return _shorten(specification, rest)
    return tuple(steps)


def is_counterexample(specification: Specification, steps: Sequence[Action]) -> bool:
    state = specification.initial
    for action in steps:
        after = specification.step(state, action)
        if after is None:
            return False
        state = after
    return bool(specification.broken(state))
