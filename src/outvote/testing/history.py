"""Whether what the clients were told could have happened one operation at a time, as the user's class would do it.

Two independent looks, since neither sees everything:

- The agreed order, executed once more by a single instance with the agreed times, clients and random bytes. The clients
  must have been told exactly that, at those positions, and the order must respect real time: what was answered before
  another operation was asked for stands before it. Exact for every class; the order itself comes from honest replicas,
  and each answer's place in it from the answer that f + 1 replicas gave.
- A search for any order at all (Wing and Gong), by the answers and their times alone. The states of its model are
  snapshots, so the class is also taken apart and put together between any two operations. Only for classes in which no
  command asks for the Context: what that holds depends on the order.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Final, NamedTuple

from outvote.core.contract import Delivery
from outvote.machines.contract import Context
from outvote.machines.determinism import both_shortened, spelled_outcome
from outvote.machines.executor import Executor
from outvote.machines.machine import StateMachine
from outvote.simulator.checkers.linearizability import UNKNOWN, Model, Operation, Outcome, check
from outvote.testing.world import Submitted
from outvote.types import FIRST_CLIENT, SECOND, ClientId, Nanos, Position
from outvote.wire.client_messages import OPERATIONS_MAX, ReplyStatement

CONFIGURATIONS_MAX: Final = 20_000  # two snapshots and one call each: some seconds at worst; then the first look counts


class Place(NamedTuple):
    """Where a request stands in the agreed order."""

    position: Position
    rank: int  # among the requests of its batch


class ClassModel(Model[bytes]):
    """The user's class as a sequential specification; a state is a snapshot, an operation and its result are bytes."""

    def __init__(self, machine: type[StateMachine]) -> None:
        self._machine = machine()
        self._initial = self._machine.snapshot()

    def initial(self) -> bytes:
        return self._initial

    def step(self, state: bytes, operation: Hashable, result: object) -> tuple[bool, bytes]:
        assert isinstance(operation, bytes)
        self._machine.restore(state)
        outcome = self._machine.apply(operation, Context(1, 0, 0, b""))
        return result is UNKNOWN or outcome == result, self._machine.snapshot()


def complaint(
    machine: type[StateMachine], deliveries: Mapping[Position, Delivery], history: Sequence[Submitted]
) -> str:
    """What is wrong with a history, in words; "" if nothing is."""
    places: dict[tuple[ClientId, int], Place] = {}
    answers: dict[tuple[ClientId, int], ReplyStatement] = {}
    executor = Executor(machine())
    for position in range(1, max(deliveries, default=0) + 1):
        if position not in deliveries:
            return f"position {position} is missing: no honest replica executed it, and later ones were"
        requests = deliveries[position].requests
        for reply in executor.deliver(deliveries[position]):
            answers.setdefault((reply.client, reply.number), reply)
        for index, request in enumerate(requests):
            answer = answers.get(request.key)
            if answer is not None and answer.position == position:
                places.setdefault(request.key, Place(position, index))
    return (
        _wrong_answer(machine, answers, history)
        or _wrong_time(places, history)
        or _no_order(machine, places, history)
    )


def _wrong_answer(
    machine: type[StateMachine], answers: Mapping[tuple[ClientId, int], ReplyStatement], history: Sequence[Submitted]
) -> str:
    for entry in history:
        if entry.statement is None:
            continue
        told, right = entry.statement, answers.get((entry.client, entry.number))
        if right is None:
            return f"{_told(entry)}, and no honest replica ever executed it"
        if told.results != right.results:
            left, other = both_shortened(spelled_outcome(told.results[0]), spelled_outcome(right.results[0]))
            return (
                f"{entry.text} was answered with {left} at position {told.position}, and {machine.__name__} alone, "
                f"doing the same operations in the same order, answers {other}"
            )
        if told.position != right.position:
            return f"{_told(entry)} at position {told.position}, and it was executed at {right.position}"
    return ""


def _wrong_time(places: Mapping[tuple[ClientId, int], Place], history: Sequence[Submitted]) -> str:
    """In the agreed order nothing may be answered before something in front of it was asked for."""
    placed = [
        (places[entry.client, entry.number], entry) for entry in history if (entry.client, entry.number) in places
    ]
    latest: Submitted | None = None  # the last one asked for, of those in front
    for place, entry in sorted(placed, key=lambda one: one[0]):
        if latest is not None and entry.returned is not None and entry.returned < latest.called:
            return (
                f"{_told(entry)} {_seconds(entry.returned)}, before {latest.text} was asked for "
                f"{_seconds(latest.called)}, and stands behind it in the agreed order, at position {place.position}"
            )
        if latest is None or entry.called > latest.called:
            latest = entry
    return ""


def _no_order(
    machine: type[StateMachine], places: Mapping[tuple[ClientId, int], Place], history: Sequence[Submitted]
) -> str:
    if any(command.context_index >= 0 for command in machine.blueprint().commands.values()):
        return ""
    operations = [_operation(places, entry) for entry in history if entry.failure is None]
    verdict = check(operations, ClassModel(machine), CONFIGURATIONS_MAX)
    if verdict.outcome is not Outcome.VIOLATED:
        return ""
    texts = {entry.operation: entry.text for entry in history}
    offender = verdict.window[-1]
    assert isinstance(offender.operation, bytes)
    answer = spelled_outcome(offender.result) if isinstance(offender.result, bytes) else "nothing"
    lines = [
        f"no order explains that {texts[offender.operation]} was answered with {answer}, if the state goes through a "
        "snapshot between operations. Either something that counts lives outside of the declared attributes, or the "
        "answers contradict each other. The operations before it:"
    ]
    for one in verdict.window[:-1]:
        assert isinstance(one.operation, bytes)
        answer = spelled_outcome(one.result) if isinstance(one.result, bytes) else "no answer"
        lines.append(f"  client {one.client - FIRST_CLIENT}: {texts[one.operation]} = {answer}")
    return "\n".join(lines)


def _operation(places: Mapping[tuple[ClientId, int], Place], entry: Submitted) -> Operation:
    place = places.get((entry.client, entry.number), Place(0, 0))
    result = UNKNOWN if entry.statement is None else entry.statement.results[0]
    returned = None if entry.statement is None else entry.returned
    hint = place.position * OPERATIONS_MAX + place.rank
    return Operation(entry.client, entry.called, returned, entry.operation, result, hint)


def _told(entry: Submitted) -> str:
    assert entry.statement is not None
    return f"{entry.text} was answered with {spelled_outcome(entry.statement.results[0])}"


def _seconds(at: Nanos) -> str:
    return f"at {at / SECOND:.3f} s"
