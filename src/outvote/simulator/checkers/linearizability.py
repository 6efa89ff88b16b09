"""Whether a history of operations could have happened one at a time.

A history is linearizable if every operation can be given an instant between its call and its return such that
executing them in that order gives exactly the results that were seen (Herlihy and Wing 1990). The search is
Wing and Gong's with Lowe's memory of configurations already tried (2017), one key at a time (Horn and
Kroening 2015).

Invariants: a verdict of VIOLATED is never wrong for the given model, and neither is LINEARIZABLE; where the
search would take too long the verdict is UNDECIDED, which callers must count as a failure of their workload.

An operation without a known outcome may take effect at any time after its call, or never. Operations whose
times touch are taken as concurrent: clocks that tick coarsely must not convict anybody.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Sequence
from enum import Enum
from typing import Final, Generic, NamedTuple, TypeVar

from outvote.types import ClientId, Nanos

CONFIGURATIONS_MAX: Final = 1_000_000  # about 250 bytes each while one key is searched: 250 MB
WINDOW_SHOWN: Final = 12  # operations in a violation's text: a screenful
STATES_SHOWN: Final = 4

State = TypeVar("State", bound=Hashable)


class Unknown(Enum):
    """The result of an operation nobody heard back from."""

    UNKNOWN = "?"


UNKNOWN: Final = Unknown.UNKNOWN


class Operation(NamedTuple):
    """One operation as its client saw it. `returned` is None if the client never learned the outcome."""

    client: ClientId
    call: Nanos
    returned: Nanos | None
    operation: Hashable  # what the model understands
    result: object = UNKNOWN
    hint: int = 0  # where the answer claims to stand in the order: only decides what is tried first


class Model(ABC, Generic[State]):
    """What the operations mean when executed one at a time. States are compared and hashed."""

    @abstractmethod
    def initial(self) -> State:
        """The state of one key before any operation."""

    @abstractmethod
    def step(self, state: State, operation: Hashable, result: object) -> tuple[bool, State]:
        """Whether `operation` may give `result` in `state` (UNKNOWN always fits), and the state it leaves."""

    def key(self, operation: Hashable) -> Hashable:
        """Operations with different keys never influence each other. None: the state is one whole."""
        return None

    def reads(self, operation: Hashable, result: object) -> bool:
        """Whether an operation with this result changes nothing, whatever the state; only saves time."""
        return False


class Outcome(Enum):
    """What the search found."""

    LINEARIZABLE = "linearizable"
    VIOLATED = "violated"
    UNDECIDED = "undecided"


class Verdict(NamedTuple):
    """`text` says in words what was found; `window` is the end of the shortest prefix without an order."""

    outcome: Outcome
    text: str
    window: tuple[Operation, ...] = ()
    configurations: int = 0  # how many were tried, over all keys

    @property
    def ok(self) -> bool:
        return self.outcome is Outcome.LINEARIZABLE


def check(history: Iterable[Operation], model: Model[State], limit: int = CONFIGURATIONS_MAX) -> Verdict:
    """Judge a history, given in any order; `limit` bounds the configurations tried per key.

    Operations and the states of the model must be hashable. Raises ValueError if an
    operation returns before its call: that is no history.
    """
    parts: dict[Hashable, list[Operation]] = {}
    count = 0
    for entry in history:
        if entry.returned is not None and entry.returned < entry.call:
            raise ValueError(f"an operation cannot return before its call: {entry}")
        parts.setdefault(model.key(entry.operation), []).append(entry)
        count += 1
    tried, undecided = 0, Verdict(Outcome.LINEARIZABLE, "")
    for key, part in parts.items():
        search = _Search(part, model, limit)
        outcome = search.run()
        tried += len(search.seen)
        if outcome is Outcome.VIOLATED:
            return Verdict(outcome, search.explanation(key), search.window(), tried)
        if outcome is Outcome.UNDECIDED:
            where = "" if key is None else f" for key {key!r}"
            text = f"gave up{where} after {limit} configurations over {len(part)} operations"
            undecided = Verdict(outcome, text)
    if not undecided.ok:
        return undecided._replace(configurations=tried)
    text = f"{count} operations, {len(parts)} keys: every result fits one order"
    return Verdict(Outcome.LINEARIZABLE, text, (), tried)


class _Configuration(NamedTuple, Generic[State]):
    """Which operations have been given their instant, and the state they led to.

    Completed operations are numbered by call time: all below `low` are placed, and bit i of `placed` stands
    for low + i. `guessed` has a bit for each operation of unknown outcome that is taken to have happened.
    """

    low: int
    placed: int
    guessed: int
    state: State


class _Search(Generic[State]):
    """Depth first over the configurations of one key."""

    __slots__ = ("completed", "deepest", "limit", "model", "seen", "stuck", "twins", "unknown")

    def __init__(self, part: Sequence[Operation], model: Model[State], limit: int) -> None:
        ordered = sorted(part, key=_by_call)
        self.model = model
        self.limit = limit
        self.completed = [entry for entry in ordered if entry.returned is not None]
        self.unknown = [
            entry for entry in ordered if entry.returned is None and not model.reads(entry.operation, UNKNOWN)
        ]
        self.twins = _earlier_twins(self.unknown)
        self.seen: set[_Configuration[State]] = set()
        self.deepest = (-1, -1)  # (return time, number) of the first return that no configuration gets past
        self.stuck: list[State] = []  # states in which the search stood before that return

    def run(self) -> Outcome:
        if not self.completed:
            return Outcome.LINEARIZABLE
        start = _Configuration(0, 0, 0, self.model.initial())
        self.seen.add(start)
        stack = [iter(self.successors(start))]
        while stack:
            following = next(stack[-1], None)
            if following is None:
                stack.pop()
                continue
            if following.low == len(self.completed):
                return Outcome.LINEARIZABLE
            if following in self.seen:
                continue
            if len(self.seen) >= self.limit:
                return Outcome.UNDECIDED
            self.seen.add(following)
            stack.append(iter(self.successors(following)))
        return Outcome.VIOLATED

    def successors(self, configuration: _Configuration[State]) -> list[_Configuration[State]]:
        """What one more operation leads to. Operations of unknown outcome come last: they seldom help."""
        low, placed, guessed, state = configuration
        candidates, horizon = self.candidates(low, placed)
        self.remember(horizon, state)
        found: list[_Configuration[State]] = []
        for number in candidates:
            entry = self.completed[number]
            fits, after = self.model.step(state, entry.operation, entry.result)
            if not fits:
                continue
            following = _place(low, placed, number, guessed, after)
            if after == state and self.model.reads(entry.operation, entry.result):
                return [following]  # a read that fits now may as well happen now: nothing else is lost
            found.append(following)
        for number, entry in enumerate(self.unknown):
            if entry.call > horizon[0]:
                break
            twin = self.twins[number]
            if guessed >> number & 1 or (twin >= 0 and not guessed >> twin & 1):
                continue
            fits, after = self.model.step(state, entry.operation, UNKNOWN)
            if fits and after != state:  # one that changes nothing may as well never have happened
                found.append(_Configuration(low, placed, guessed | 1 << number, after))
        return found

    def candidates(self, low: int, placed: int) -> tuple[list[int], tuple[Nanos, int]]:
        """Completed operations called before any unplaced one returned; and that first return."""
        horizon: tuple[Nanos, int] | None = None
        numbers: list[int] = []
        number = low
        while number < len(self.completed):
            # One operation may outlast thousands of placed ones: step over their ones all at once.
            run = (~placed & (placed + 1)).bit_length() - 1
            if run:
                placed >>= run
                number += run
                continue
            entry = self.completed[number]
            if horizon is not None and entry.call > horizon[0]:
                break
            if entry.returned is not None:
                numbers.append(number)
                if horizon is None or (entry.returned, number) < horizon:
                    horizon = (entry.returned, number)
            placed >>= 1
            number += 1
        if horizon is None:
            raise ValueError("a configuration with nothing left to place has no successors")
        numbers.sort(key=self.rank_of)  # what claims to come first, or must come first soonest, is tried first
        return numbers, horizon

    def rank_of(self, number: int) -> tuple[int, Nanos]:
        entry = self.completed[number]
        return entry.hint, entry.returned or 0

    def remember(self, horizon: tuple[Nanos, int], state: State) -> None:
        """Every return before `horizon` has been explained, so the offending prefix ends there or later."""
        if horizon > self.deepest:
            self.deepest = horizon
            self.stuck = []
        if horizon == self.deepest and len(self.stuck) < STATES_SHOWN and state not in self.stuck:
            self.stuck.append(state)

    def window(self) -> tuple[Operation, ...]:
        """The last operations of the shortest prefix without an order, in order of their calls."""
        until, number = self.deepest
        offender = self.completed[number]
        prefix = [
            entry
            for entry in (*self.completed, *self.unknown)
            if entry.call <= until and entry is not offender
        ]
        return (*sorted(prefix, key=_by_call)[-WINDOW_SHOWN + 1 :], offender)

    def explanation(self, key: Hashable) -> str:
        """Readable without the history at hand."""
        offender = self.completed[self.deepest[1]]
        where = "" if key is None else f"key {key!r}: "
        lines = [
            f"{where}no order explains that {_shown(offender)}",
            "states that the operations before it can lead to: "
            + ", ".join(repr(state) for state in self.stuck)
            + (" ..." if len(self.stuck) == STATES_SHOWN else ""),
            "the last operations until then, by their calls:",
        ]
        lines += [f"  {_shown(entry)}" for entry in self.window()]
        return "\n".join(lines)


def _place(low: int, placed: int, number: int, guessed: int, state: State) -> _Configuration[State]:
    placed |= 1 << (number - low)
    while placed & 1:
        placed >>= 1
        low += 1
    return _Configuration(low, placed, guessed, state)


def _earlier_twins(unknown: Sequence[Operation]) -> list[int]:
    """For each operation the number of the one before it that is just the same, or -1.

    Of two equal operations with unknown outcomes the one called first may stand for either, so trying the
    later one alone would be the same search again."""
    last: dict[Hashable, int] = {}
    twins: list[int] = []
    for number, entry in enumerate(unknown):
        twins.append(last.get(entry.operation, -1))
        last[entry.operation] = number
    return twins


def _by_call(entry: Operation) -> tuple[Nanos, ClientId]:
    return entry.call, entry.client


def _shown(entry: Operation) -> str:
    if entry.returned is None:
        return f"[{entry.call} .. ?] client {entry.client}: {entry.operation} -> unknown"
    return f"[{entry.call} .. {entry.returned}] client {entry.client}: {entry.operation} -> {entry.result!r}"
