"""The executor, with at most one delivery ahead of what is committed, and the way back.

The way back is a snapshot and the committed deliveries behind it, executed again: nothing in a machine has to know how
to undo. Kept: answers, history and checkpoints that leave this replica as final are those of committed deliveries.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from outvote.core.contract import Delivery
from outvote.machines.executor import Executor, Snapshot
from outvote.types import Digest, Nanos, Position, Size
from outvote.wire.client_messages import ReplyStatement

# Deliveries behind a snapshot: one is taken at every checkpoint, and intervals are at most this long. The core holds
# the same requests in its slots, so they cost little here.
BEHIND_MAX: Final = 65_536


class Tentative:
    """Stands between the turn and the executor."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._base: Snapshot | None = None  # the state that the way back begins from; None until anything is tentative
        self._behind: list[Delivery] = []
        self._ahead: tuple[Delivery, list[ReplyStatement]] | None = None
        self._committed: tuple[Position, Nanos, Digest] = (0, 0, b"")
        self.undone = 0

    @property
    def ahead(self) -> bool:
        """Whether the state holds what is not committed."""
        return self._ahead is not None

    @property
    def position(self) -> Position:
        """Of the last committed delivery."""
        return self._committed[0] if self._ahead is not None else self._executor.position

    @property
    def time(self) -> Nanos:
        return self._committed[1] if self._ahead is not None else self._executor.time

    @property
    def history(self) -> Digest:
        return self._committed[2] if self._ahead is not None else self._executor.history

    def begin(self) -> None:
        """The state is committed as it stands, and the way back begins here: after a start, a checkpoint, a fetch."""
        self._ahead = None
        self._behind.clear()
        self._base = None

    def checkpointed(self, snapshot: Snapshot) -> None:
        """The same, with the snapshot at hand."""
        self.begin()
        self._base = snapshot

    def execute(self, delivery: Delivery) -> list[ReplyStatement] | None:
        """Ahead of its commitment; None if it is not the next one."""
        executor = self._executor
        if self._ahead is not None or delivery.position != executor.position + 1:
            return None
        if self._base is None:
            self._base = executor.save()
            self._behind.clear()
        self._committed = executor.position, executor.time, executor.history
        answers = executor.run(delivery)
        self._ahead = delivery, answers
        return answers

    def deliver(self, delivery: Delivery) -> tuple[list[ReplyStatement], bool]:
        """Committed. Returns the answers, and whether they were given before, tentatively."""
        ahead = self._ahead
        if ahead is not None:
            held, answers = ahead
            if (held.position, held.time, held.requests) == (delivery.position, delivery.time, delivery.requests):
                self._ahead = None
                self._keep(delivery)
                self._executor.committed(delivery, answers)
                return answers, True
            self.undo()
        answers = self._executor.deliver(delivery)
        self._keep(delivery)
        return answers, False

    def undo(self) -> None:
        """Back to what is committed."""
        if self._ahead is None or self._base is None:
            return
        self._ahead = None
        self.undone += 1
        self._executor.go_back(self._base, self._behind)

    def _keep(self, delivery: Delivery) -> None:
        if self._base is not None:
            self._behind.append(delivery)
            if len(self._behind) > BEHIND_MAX:
                self.begin()

    def sizes(self) -> Iterator[Size]:
        """What is held for the way back, and its limit."""
        yield "deliveries behind a snapshot", len(self._behind), BEHIND_MAX
