"""Read-only requests of clients, executed on the committed state beside the order.

Kept: an answer tells a state that holds everything that this replica ever told a client of, also before it crashed:
the core says from which position on that is so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

from outvote.core.contract import Core
from outvote.host.voice import Voice
from outvote.machines.executor import Executor
from outvote.types import ClientId, Nanos, Size
from outvote.wire.client_messages import OPERATIONS_MAX, OUTSTANDING_MAX, REQUEST_BYTES_MAX, Read, ReadReply, Unread

WAITING_MAX: Final = OUTSTANDING_MAX  # of a client, as of requests; 64 x 256 KiB = 16 MiB at the very worst


class Reads:
    """What was asked and not answered yet, each with the ticket that the core gave for it."""

    __slots__ = ("_fresh", "_waiting", "answered", "unread")

    def __init__(self) -> None:
        self._waiting: dict[ClientId, deque[tuple[Read, int]]] = {}
        self._fresh: list[tuple[ClientId, Read]] = []  # without a ticket as yet
        self.answered = 0
        self.unread = 0

    def __bool__(self) -> bool:
        return bool(self._waiting or self._fresh)

    def take(self, client: ClientId, read: Read) -> Unread | None:
        """Let it wait for its turn, or say why not."""
        waiting = self._waiting.get(client, ())
        size = sum(map(len, read.operations))
        if not 1 <= len(read.operations) <= OPERATIONS_MAX or size > REQUEST_BYTES_MAX:
            return Unread(read.number, f"a read has 1 to {OPERATIONS_MAX} queries, {REQUEST_BYTES_MAX} bytes at most")
        if len(waiting) + sum(1 for other, _ in self._fresh if other == client) >= WAITING_MAX:
            self.unread += 1
            return Unread(read.number, f"busy: {WAITING_MAX} reads of yours wait")
        self._fresh.append((client, read))
        return None

    def begin(self, core: Core, executor: Executor, voice: Voice) -> None:
        """One ticket for all that have come since the last time, but for those that what is known will do for."""
        fresh = self._fresh
        self._fresh = []
        fresh = [one for one in fresh if not self._answer_stale(*one, core, executor, voice)]
        if fresh:
            ticket = core.ask_to_read()
            for client, read in fresh:
                self._waiting.setdefault(client, deque()).append((read, ticket))

    def _answer_stale(self, client: ClientId, read: Read, core: Core, executor: Executor, voice: Voice) -> bool:
        """Without asking anybody, if the state is as new as the client demands. The replica's clock alone counts: the
        moment is when it asked, not when others answered."""
        if not read.stale_ns or core.known_at is None:
            return False
        position, moment = core.known_at
        age = core.now - moment
        if executor.position < position or age > read.stale_ns:
            return False
        self._tell(client, read, core, executor, voice, max(1, age))
        return True

    def answer(self, core: Core, executor: Executor, voice: Voice) -> None:
        """Answer what waits, if this replica may tell its state now; one of each client in turn."""
        if core.reads_at is not None and executor.position < core.reads_at:
            return
        while self._waiting:
            ready = [
                client for client, waiting in self._waiting.items()
                if core.reads_at is None or waiting[0][1] <= core.reads_confirmed
            ]
            for client in ready:
                waiting = self._waiting[client]
                self._answer(client, waiting.popleft()[0], core, executor, voice)
                if not waiting:
                    del self._waiting[client]
            if not ready:
                return

    def _answer(self, client: ClientId, read: Read, core: Core, executor: Executor, voice: Voice) -> None:
        if core.reads_at is None:
            self.unread += 1
            voice.unread(client, Unread(read.number, "busy: this replica does not know yet how far the others are"))
            return
        self._tell(client, read, core, executor, voice, 0)

    def _tell(
        self, client: ClientId, read: Read, core: Core, executor: Executor, voice: Voice, age: Nanos
    ) -> None:
        results = executor.read(client, read.operations)
        if results is None:
            self.unread += 1
            voice.unread(client, Unread(read.number, "one of these may change the state"))
            return
        self.answered += 1
        proof = read.proof and core.answers_alone
        voice.read(client, ReadReply(read.number, executor.position, results, b"", age), read.whole, proof)

    def sizes(self) -> Iterator[Size]:
        """What is held, and its limit."""
        yield "reads of a client", max(map(len, self._waiting.values()), default=0), WAITING_MAX
