"""Whether a user's class does the same on every replica: results and whole states compared after each position.

The simulator's own checkers compare digests and say only that something differs. Here it is a class under test that is
to be blamed, so the failure names the position, the operation, the replicas, the values and the likely cause.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

from outvote.core.contract import Delivery
from outvote.errors import NotDeterministic
from outvote.machines.determinism import Shown, both_shortened, likely_cause, parting, show, spelled_outcome
from outvote.machines.machine import StateMachine
from outvote.machines.operations import operation_name
from outvote.testing.words import spelled_operation
from outvote.types import Position, ReplicaId
from outvote.wire.client_messages import ReplyStatement

STATES_KEPT = 64  # whole snapshots, to show what differs; of older positions only digests: 32 bytes each
OPERATIONS_SHOWN = 3  # of one position


class _Held:
    """What the first honest replica made of a position."""

    __slots__ = ("digest", "replica", "replies", "snapshot")

    def __init__(self, replica: ReplicaId, snapshot: bytes, replies: Sequence[ReplyStatement]) -> None:
        self.replica = replica
        self.digest = sha256(snapshot).digest()
        self.snapshot: bytes | None = snapshot
        self.replies = {(one.client, one.number): one for one in replies}


class Sameness:
    """`machine_of(replica)` is the state of a replica that is up."""

    def __init__(self, machine: type[StateMachine], machine_of: Callable[[ReplicaId], StateMachine]) -> None:
        self._machine = machine
        self._machine_of = machine_of
        self._held: dict[Position, _Held] = {}

    def executed(self, replica: ReplicaId, delivery: Delivery, replies: Sequence[ReplyStatement]) -> None:
        """An honest replica executed a batch. Raises NotDeterministic if another one made something else of it."""
        snapshot = self._machine_of(replica).snapshot()
        held = self._held.get(delivery.position)
        if held is None:
            self._held[delivery.position] = _Held(replica, snapshot, replies)
            old = self._held.get(delivery.position - STATES_KEPT)
            if old is not None:
                old.snapshot = None
            return
        for reply in replies:
            other = held.replies.get((reply.client, reply.number))
            if other is not None and other.position == reply.position and other.results != reply.results:
                self._blame_result(replica, held.replica, delivery, reply, other)
        if sha256(snapshot).digest() != held.digest:
            operations = [one for request in delivery.requests for one in request.operations]
            shown = "; ".join(map(spelled_operation, operations[:OPERATIONS_SHOWN]))
            more = f" and {len(operations) - OPERATIONS_SHOWN} more" if len(operations) > OPERATIONS_SHOWN else ""
            self._blame_state(replica, held, snapshot, delivery, f"{shown}{more}")

    def installed(self, replica: ReplicaId, position: Position, from_disk: bool) -> None:
        """An honest replica took over a whole state. Raises NotDeterministic if it is another one now."""
        held = self._held.get(position)
        if held is None:
            return
        snapshot = self._machine_of(replica).snapshot()
        if sha256(snapshot).digest() != held.digest:
            source = "its own disk" if from_disk else "the others"
            raise NotDeterministic(
                f"{self._machine.__name__} is not deterministic: replica {replica} restored the state of position "
                f"{position} from {source}, and writes another snapshot of it than the one that it read. Likely: "
                f"{self._cause([], ('', ''), True)}."
            )

    def _blame_result(
        self, replica: ReplicaId, first: ReplicaId, delivery: Delivery, reply: ReplyStatement, other: ReplyStatement
    ) -> None:
        operations = next(
            one.operations for one in delivery.requests if (one.client, one.number) == (reply.client, reply.number)
        )
        for operation, mine, theirs in zip(operations, reply.results, other.results, strict=False):
            if mine != theirs:
                left, right = both_shortened(spelled_outcome(theirs), spelled_outcome(mine))
                raise NotDeterministic(
                    f"{self._machine.__name__} is not deterministic: at position {delivery.position}, "
                    f"{spelled_operation(operation)}, replica {first} answered {left} and {_again(replica, first)} "
                    f"{right}. Likely: {self._cause([operation], (left, right), False)}."
                )

    def _blame_state(
        self, replica: ReplicaId, held: _Held, snapshot: bytes, delivery: Delivery, shown: str
    ) -> None:
        found = None
        if held.snapshot is not None:
            found = parting(self._shown(held.snapshot), self._shown(snapshot))
        name, left, right = found or ("state", "one state", "another")
        operations = [one for request in delivery.requests for one in request.operations]
        raise NotDeterministic(
            f"{self._machine.__name__} is not deterministic: at position {delivery.position}, "
            f"{_again(replica, held.replica)} executed {shown} and has self.{name} = {right}, replica {held.replica} "
            f"has {left}. Likely: {self._cause(operations, (left, right), False)}."
        )

    def _shown(self, snapshot: bytes) -> list[Shown]:
        machine = self._machine()
        machine.restore(snapshot)
        return show(dict(vars(machine)))

    def _cause(self, operations: Sequence[bytes], texts: tuple[str, str], restored: bool) -> str:
        blueprint = self._machine.blueprint()
        named = [blueprint.commands.get(operation_name(operation)) for operation in operations]
        commands = [command for command in named if command is not None] or list(blueprint.commands.values())
        causes = [likely_cause(blueprint, command, texts, restored, False) for command in commands]
        return max(causes, key=causes.count)


def _again(replica: ReplicaId, first: ReplicaId) -> str:
    return f"replica {replica}" if replica != first else f"replica {replica}, which executed it again after a crash,"
