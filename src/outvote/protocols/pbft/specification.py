"""One slot of PBFT over a few views as an executable model: every state it can reach is looked at, with a traitor.

Read it beside sections 4.2 and 4.4 of the paper. `Specification.step` says what a correct replica may do in a state,
and nothing else decides anything. Three things keep it small without leaving anything out:

- The network is the set of all that correct replicas have said so far. Loss, delay, reordering and repetition need no
  step of their own: a guard asks whether a quorum has said something, never whether it has arrived.
- A traitor has no state. It says anything, and another thing to each: so its vote counts for every value, it
  proposes every value, and it shows in a VIEW-CHANGE every certificate whose seals exist. Seals it cannot forge.
- Deciding shows nobody anything, so it is a predicate (`committed`) and no step.

Timers are left out: a replica may leave its view at any time. So this is about safety, and says nothing of liveness.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import combinations
from typing import ClassVar, Final, NamedTuple, TypeVar

from outvote.types import ReplicaId, View

Entry = TypeVar("Entry")
Value = str
FREE: Final[Value] = ""  # what a new view is bound to in which nothing had been prepared: any request will do
REQUESTED: Final[tuple[Value, ...]] = ("a", "b")  # what clients asked for; two are enough to disagree
INVENTED: Final[Value] = "x"  # what no client asked for: a traitor proposes it too
UNSAID: Final[Value] = "?"  # by a correct primary, about a view of its own
OUTCOMES_KEPT: Final = 1 << 14  # a few hundred differ, and a million are asked for
Certificate = tuple[View, Value]  # the primary's proposal and 2f equal PREPAREs of others


class Rules(NamedTuple):
    """The protocol's, unless a bug is planted."""

    quorum: int = 3  # 2f + 1
    highest_view_wins: bool = True  # of the certificates that a new view rests on
    backups_check_new_view: bool = True  # against its VIEW-CHANGEs
    certificates_need_seals: bool = True
    certificates_are_kept: bool = True  # over more than one view change
    backups_check_requests: bool = True
    votes_are_remembered: bool = True
    votes_end_with_the_view: bool = True


AS_PUBLISHED: Final = Rules()


class Replica(NamedTuple):
    """What one correct replica has said, and where it stands. Tuples have one entry a view."""

    view: View
    active: bool  # False between VIEW-CHANGE and NEW-VIEW
    bound: Value  # what the NEW-VIEW it entered by makes it wait for; FREE again once it voted
    votes: tuple[Value, ...]  # its PRE-PREPARE or PREPARE in each view
    commits: tuple[Value, ...]  # its COMMIT: it is prepared, and will show the certificate
    changes: tuple[bool, ...]  # its VIEW-CHANGE for each view


class State(NamedTuple):
    """All correct replicas by number, traitors' places empty; and the NEW-VIEWs of correct primaries."""

    replicas: tuple[Replica | None, ...]
    announced: tuple[Value, ...]  # what each makes of the slot; UNSAID before

    def correct(self) -> list[Replica]:
        return [one for one in self.replicas if one is not None]

    def traitors(self) -> int:
        return self.replicas.count(None)


class Action(NamedTuple):
    """One step of one correct replica: the paper's message, in a view, about a value."""

    name: str  # PRE-PREPARE, PREPARE, COMMIT, VIEW-CHANGE, NEW-VIEW, or ENTER: a backup accepts a NEW-VIEW
    replica: ReplicaId
    view: View
    value: Value = FREE

    def __str__(self) -> str:
        about = f", {self.value[:8]}" if self.value else ", free" if self.name in ("NEW-VIEW", "ENTER") else ""
        return f"{self.replica}: {self.name}, view {self.view}{about}"


class Specification:
    """`leaders` are the primaries of the views, in order; `traitors` are at most f of the n replicas."""

    shows_votes: ClassVar[bool] = False  # whether a VIEW-CHANGE tells of votes that no certificate came of

    def __init__(
        self, leaders: Sequence[ReplicaId] = (0, 1, 2), traitors: Sequence[ReplicaId] = (0,),
        rules: Rules = AS_PUBLISHED, n: int = 4,
    ) -> None:
        self.leaders = tuple(leaders)
        self.views = len(self.leaders)
        self.rules = rules
        empty = (FREE,) * self.views
        fresh = Replica(0, True, FREE, empty, empty, (False,) * self.views)
        self.initial = State(tuple(None if one in traitors else fresh for one in range(n)), (UNSAID,) * self.views)
        self._thinkable = [[_thinkable(me, view) for view in range(self.views)] for me in range(n)]
        self._made_of = lru_cache(OUTCOMES_KEPT)(self._made_of_these)

    # ------------------------------------------------------------------ what has been said

    def proposed(self, state: State, view: View, value: Value) -> bool:
        """Whether the primary's PRE-PREPARE for this exists."""
        primary = state.replicas[self.leaders[view]]
        return primary is None or primary.votes[view] == value

    def certified(self, state: State, view: View, value: Value) -> bool:
        """Whether a prepared certificate can be put together: one proposal, and a quorum with those who PREPAREd."""
        voters = state.traitors() + sum(one.votes[view] == value for one in state.correct())
        return self.proposed(state, view, value) and voters >= self.rules.quorum

    def committed(self, state: State) -> list[Certificate]:
        """What a replica that hears enough may decide, with the view: a quorum said COMMIT there."""
        found: list[Certificate] = []
        for view in range(self.views):
            said = [one.commits[view] for one in state.correct() if one.commits[view]]
            needed = self.rules.quorum - state.traitors()
            found += [(view, value) for value in sorted(dict.fromkeys(said)) if said.count(value) >= needed]
        return found

    # ------------------------------------------------------------------ view changes

    def shown(self, replica: Replica, view: View) -> Certificate | None:
        """P: what its VIEW-CHANGE for this view shows, the certificate of the highest view before."""
        first = 0 if self.rules.certificates_are_kept else view - 1
        held = [(earlier, replica.commits[earlier]) for earlier in range(first, view) if replica.commits[earlier]]
        return max(held, default=None)

    def showable(self, state: State, view: View) -> list[Certificate | None]:
        """What a traitor's VIEW-CHANGE may show."""
        found: list[Certificate | None] = [None]
        for earlier in range(view):
            if not self.rules.certificates_need_seals:
                found += [(earlier, value) for value in REQUESTED]
                continue
            voted = dict.fromkeys(one.votes[earlier] for one in state.correct() if one.votes[earlier])
            found += [(earlier, value) for value in voted if self.certified(state, earlier, value)]
        return found

    def chosen(self, shown: Sequence[Certificate | None]) -> Value:
        """O for this slot: what was prepared in the highest view; FREE if nothing was."""
        held = [one for one in shown if one is not None]
        if not held:
            return FREE
        return (max(held) if self.rules.highest_view_wins else min(held))[1]

    def new_views(self, state: State, view: View) -> Sequence[Value]:
        """Everything that some quorum of VIEW-CHANGEs for the view makes of the slot."""
        shown = tuple(self.shown(one, view) for one in state.correct() if one.changes[view])
        return self._made_of(shown, tuple(self.showable(state, view)), state.traitors())

    def _made_of_these(
        self, shown: tuple[Certificate | None, ...], showable: tuple[Certificate | None, ...], traitors: int
    ) -> tuple[Value, ...]:
        found = dict.fromkeys(self.chosen(some) for some in combinations(shown, self.rules.quorum))
        for lies in range(1, traitors + 1):
            for some in combinations(shown, max(0, self.rules.quorum - lies)):
                # Of several lies one has the last word: it stands for all.
                found.update(dict.fromkeys(self.chosen((*some, lie)) for lie in showable))
        return tuple(found)

    # ------------------------------------------------------------------ steps

    def step(self, state: State, action: Action) -> State | None:
        """The state behind an action; None if no correct replica would take it."""
        replica = state.replicas[action.replica]
        if replica is None:
            return None
        return _STEPS[action.name](self, state, replica, action)

    def actions(self, state: State) -> Iterator[tuple[Action, State]]:
        """Everything that correct replicas may do now, and the state behind it."""
        for me, replica in enumerate(state.replicas):
            if replica is None:
                continue
            for view in range(replica.view if self.rules.votes_end_with_the_view else 0, self.views):
                for action in self._thinkable[me][view]:
                    after = _STEPS[action.name](self, state, replica, action)
                    if after is not None:
                        yield action, after

    def _votes_in(self, replica: Replica, view: View) -> bool:
        if view == replica.view:
            return replica.active
        return view < replica.view and not self.rules.votes_end_with_the_view

    def pre_prepare(self, state: State, replica: Replica, action: Action) -> State | None:
        """Section 4.2, by the primary: what the new view decided as it is, otherwise any request of a client."""
        if self.leaders[action.view] != action.replica or action.value == INVENTED:
            return None
        return self._vote(state, replica, action)

    def prepare(self, state: State, replica: Replica, action: Action) -> State | None:
        """Section 4.2, by a backup: the primary's proposal, if it is one that the view allows."""
        if self.leaders[action.view] == action.replica or not self.proposed(state, action.view, action.value):
            return None
        if action.value == INVENTED and self.rules.backups_check_requests:
            return None
        return self._vote(state, replica, action)

    def _vote(self, state: State, replica: Replica, action: Action) -> State | None:
        """One value a view, for ever."""
        view, value = action.view, action.value
        if not self._votes_in(replica, view) or replica.votes[view] == value or replica.bound not in (FREE, value):
            return None
        if replica.votes[view] and self.rules.votes_are_remembered:
            return None
        return _with(state, action, replica._replace(votes=_put(replica.votes, view, value), bound=FREE))

    def commit(self, state: State, replica: Replica, action: Action) -> State | None:
        """Section 4.2: prepared(m, v, n, i) is true, so there is a certificate to show."""
        view, value = action.view, action.value
        if not self._votes_in(replica, view) or replica.commits[view] or replica.votes[view] != value:
            return None
        if not self.certified(state, view, value):
            return None
        return _with(state, action, replica._replace(commits=_put(replica.commits, view, value)))

    def view_change(self, state: State, replica: Replica, action: Action) -> State | None:
        """Section 4.4: leave every view below. What it shows follows from its COMMITs."""
        if action.view <= replica.view:
            return None
        left = replica._replace(
            view=action.view, active=False, bound=FREE, changes=_put(replica.changes, action.view, True)
        )
        return _with(state, action, left)

    def new_view(self, state: State, replica: Replica, action: Action) -> State | None:
        """Section 4.4, by the primary, which enters by it: what follows from a quorum of VIEW-CHANGEs, once."""
        view = action.view
        if self.leaders[view] != action.replica or view != replica.view or replica.active:
            return None
        if state.announced[view] != UNSAID or action.value not in self.new_views(state, view):
            return None
        entered = _with(state, action, replica._replace(active=True, bound=action.value))
        return entered._replace(announced=_put(state.announced, view, action.value))

    def enter(self, state: State, replica: Replica, action: Action) -> State | None:
        """Section 4.4, by a backup: it computes O itself, so a traitor's NEW-VIEW must follow from a quorum too."""
        view = action.view
        leader = self.leaders[view]
        if leader == action.replica or view < replica.view + replica.active:
            return None
        if state.replicas[leader] is not None:
            if state.announced[view] != action.value:
                return None
        else:
            follows = self.new_views(state, view)
            if action.value not in follows and (self.rules.backups_check_new_view or not follows):
                return None
        return _with(state, action, replica._replace(view=view, active=True, bound=action.value))

    # ------------------------------------------------------------------ what must hold

    def broken(self, state: State) -> str:
        """Which invariant does not hold in this state, in words; nothing if all do."""
        committed = self.committed(state)
        values = sorted({value for _, value in committed})
        if len(values) > 1:
            return f"agreement: {' and '.join(values)} are both committed"
        if INVENTED in values:
            return f"validity: {INVENTED}, which no client asked for, is committed"
        for view, value in committed:
            for later in range(view + 1, self.views):
                if any(other != value and self.certified(state, later, other) for other in REQUESTED):
                    return f"what is committed stays: {value} is in view {view}, another can be prepared in {later}"
        return ""


_STEPS: Final = {
    "PRE-PREPARE": Specification.pre_prepare, "PREPARE": Specification.prepare, "COMMIT": Specification.commit,
    "VIEW-CHANGE": Specification.view_change, "NEW-VIEW": Specification.new_view, "ENTER": Specification.enter,
}


def _thinkable(me: ReplicaId, view: View) -> list[Action]:
    """What there is to try for one replica in one view."""
    return [
        Action(name, me, view, value)
        for name, values in (
            ("PRE-PREPARE", (*REQUESTED, INVENTED)), ("PREPARE", (*REQUESTED, INVENTED)),
            ("COMMIT", (*REQUESTED, INVENTED)), ("VIEW-CHANGE", (FREE,)),
            ("NEW-VIEW", (FREE, *REQUESTED)), ("ENTER", (FREE, *REQUESTED)),
        )
        for value in values
    ]  # fmt: skip


def _put(entries: tuple[Entry, ...], place: int, entry: Entry) -> tuple[Entry, ...]:
    return (*entries[:place], entry, *entries[place + 1 :])


def _with(state: State, action: Action, replica: Replica) -> State:
    return state._replace(replicas=_put(state.replicas, action.replica, replica))
