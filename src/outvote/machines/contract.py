"""What the executor needs of a replicated state, in bytes; machines/machine.py builds it from a user's class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from hashlib import sha256

from outvote.types import ClientId, Nanos, Position


class Context:
    """Agreed facts about the operation being executed: equal on every replica, so safe to use in a command."""

    __slots__ = ("_counter", "_place", "_seed", "client", "position", "time_ns")

    def __init__(
        self, position: Position, time_ns: Nanos, client: ClientId, seed: bytes, place: int | None = None
    ) -> None:
        """`place`: of the operation in its request, part of the seed; few operations ask for chance."""
        self.position = position  # place in the total order
        self.time_ns = time_ns  # wall clock of the leader, bounded by the others, never running backwards
        self.client = client  # who signed the request
        self._seed = seed
        self._place = place
        self._counter = 0

    def random_bytes(self, count: int) -> bytes:
        """Pseudo-random bytes, equal on every replica: from the seals of all requests that were executed until now.

        Nobody can tell them from the state alone. The leader, who sees the requests before they are ordered, can choose
        which of them to take together, knowing what comes of it; and a client that expects to be alone in its batch can
        try seals until it likes the outcome. No lottery should rely on it."""
        out = bytearray()
        seed = self._seed if self._place is None else self._seed + self._place.to_bytes(4, "big")
        while len(out) < count:
            out += sha256(seed + self._counter.to_bytes(8, "big")).digest()
            self._counter += 1
        return bytes(out[:count])

    def random_below(self, limit: int) -> int:
        """A number in 0 .. limit-1; the bias is below 2**-64 for limits up to 2**64."""
        if limit < 1:
            raise ValueError("random_below needs a limit of at least 1")
        return int.from_bytes(self.random_bytes(16 + limit.bit_length() // 8), "big") % limit


class Machine(ABC):
    """A deterministic state: same operations in the same order, same results, same snapshot."""

    @abstractmethod
    def apply(self, operation: bytes, context: Context) -> bytes:
        """Execute one operation and return its encoded outcome. Never raises for what an operation contains."""

    def _read_beside(self, operation: bytes, context: Context) -> bytes | None:
        """The outcome of an operation that provably changes nothing, beside the order; None for any other. The context
        is that of the last delivery: answers count only together with those of the same position."""
        return None

    @abstractmethod
    def snapshot(self) -> bytes:
        """The whole state; equal states give equal bytes."""

    @abstractmethod
    def restore(self, snapshot: bytes) -> None:
        """Become the state that `snapshot` was taken of. Raises Lie if it is malformed."""
