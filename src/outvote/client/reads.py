"""Queries in one round trip: all replicas execute them on what they have committed; a quorum must say the very same.

Kept: what is accepted was said of one position by a quorum. Each write that was answered, by a quorum as well, meets it
in a correct replica, which had executed that write; so a read sees every write and every read that ended before it
began. Equal results of different positions would not do: a value may have changed and changed back in between.

Where no quorum agrees - writes are under way, a replica is slow, some lie - the read is ordered like a command. When
that happens, the next few are ordered at once: two round trips instead of three.
"""

from __future__ import annotations

from typing import Final

from outvote.client.votes import Results, Votes, said_of
from outvote.core.committee import Committee
from outvote.types import NEVER, ClientId, Nanos, Position, ReplicaId
from outvote.wire.client_messages import OUTSTANDING_MAX, Read, ReadReply

SKIPPED_MAX: Final = 64  # reads ordered at once after another failure; doubles from 1
FORGIVEN_AFTER: Final = 256  # reads; then replicas that withheld whole results are asked for them again


class _Pending:
    """One read that waits for its answers."""

    __slots__ = ("deadline", "due", "number", "operations", "refused", "votes", "whole")

    def __init__(self, number: int, operations: tuple[bytes, ...], deadline: Nanos, due: Nanos) -> None:
        self.number = number
        self.operations = operations
        self.deadline = deadline  # of the whole matter, ordered or not
        self.due = due  # then it is ordered, or whole results are asked of everybody
        self.votes = Votes()
        self.refused: dict[ReplicaId, None] = {}
        self.whole: ReplicaId = -1  # who was asked for whole results; -1: everybody


class Reads:
    """Those of one client. `take_failed` gives what has to be ordered instead."""

    def __init__(self, client: ClientId, committee: Committee, patience_ns: Nanos) -> None:
        self._client = client
        self._committee = committee
        # Where nobody lies, one answer: a replica then asks the others itself before it gives it.
        self._enough = 1 if committee.tolerates == "crashes" else committee.quorum
        self._patience_ns = patience_ns
        self._pending: dict[int, _Pending] = {}
        self._last = 0
        self._skip = 0
        self._skip_left = 0
        self._withheld: dict[ReplicaId, None] = {}  # did not send whole results when asked to
        self._forgiven_at = FORGIVEN_AFTER
        self._failed: list[tuple[int, tuple[bytes, ...], Nanos]] = []
        self.wrong_replies: list[int] = [0] * committee.n
        self.answered = 0
        self.fallen_back = 0

    def __len__(self) -> int:
        return len(self._pending)

    def next_number(self) -> int:
        self._last += 1
        return self._last

    def worth_trying(self, connected: list[bool]) -> bool:
        """Whether a read would rather succeed; if not, it is ordered."""
        if sum(connected) < self._enough or len(self._pending) >= OUTSTANDING_MAX:
            return False
        if self._skip_left:
            self._skip_left -= 1
            return False
        return True

    def begin(
        self, number: int, operations: tuple[bytes, ...], connected: list[bool], now: Nanos, deadline: Nanos
    ) -> Read:
        """The message for all connected replicas."""
        pending = _Pending(number, operations, deadline, now + self._patience_ns)
        self._pending[number] = pending
        if number >= self._forgiven_at:
            self._withheld.clear()
            self._forgiven_at = number + FORGIVEN_AFTER
        n = self._committee.n
        turn = [(self._client + number + step) % n for step in range(n)]
        if self._enough > 1:
            pending.whole = next((one for one in turn if connected[one] and one not in self._withheld), -1)
        return Read(number, operations, pending.whole)

    def give_up(self, number: int) -> bool:
        return self._pending.pop(number, None) is not None

    def receive(self, replica: ReplicaId, reply: ReadReply) -> tuple[Position, Results] | None:
        """The position and the results once a quorum has agreed."""
        pending = self._pending.get(reply.number)
        if pending is None:
            return None
        said, results = said_of(reply.position, reply.results, reply.digest)
        group = pending.votes.add(replica, said, results)
        if group is None:
            return None
        if group.voices >= self._enough and group.results is not None:
            del self._pending[pending.number]
            for other in pending.votes.groups.values():
                if other is not group and other.said[0] == reply.position:
                    for liar in other.final:
                        self.wrong_replies[liar] += 1
            self.answered += 1
            self._skip = self._skip_left = 0
            return reply.position, group.results
        self._give_up_early(pending)
        return None

    def forget(self, replica: ReplicaId) -> None:
        """What it said counts no more: its connection has ended."""
        for pending in self._pending.values():
            pending.votes.forget(replica)
            pending.refused.pop(replica, None)

    def unread(self, replica: ReplicaId, number: int) -> None:
        pending = self._pending.get(number)
        if pending is not None:
            pending.refused[replica] = None
            self._give_up_early(pending)

    def _give_up_early(self, pending: _Pending) -> None:
        """Those that have not spoken cannot make a quorum any more."""
        silent = sum(
            1 for one in range(self._committee.n) if one not in pending.votes.spoken and one not in pending.refused
        )
        if pending.votes.largest() + silent < self._enough:
            self._fail(pending)

    def _fail(self, pending: _Pending) -> None:
        del self._pending[pending.number]
        self._failed.append((pending.number, pending.operations, pending.deadline))
        self.fallen_back += 1
        self._skip = self._skip_left = min(SKIPPED_MAX, max(1, 2 * self._skip))

    def tick(self, now: Nanos) -> list[Read]:
        """What to ask all replicas again."""
        again: list[Read] = []
        for pending in [one for one in self._pending.values() if one.due <= now]:
            agreed = pending.votes.largest() >= self._enough
            if agreed and pending.whole >= 0:
                # They agree on a digest, and the one that should have sent what it stands for did not.
                self._withheld[pending.whole] = None
                pending.whole = -1
                pending.due = now + self._patience_ns
                again.append(Read(pending.number, pending.operations, -1))
            else:
                self._fail(pending)
        return again

    def next_deadline(self) -> Nanos:
        return min((one.due for one in self._pending.values()), default=NEVER)

    def take_failed(self) -> list[tuple[int, tuple[bytes, ...], Nanos]]:
        """Number, operations and deadline of reads that have to be ordered."""
        failed, self._failed = self._failed, []
        return failed
