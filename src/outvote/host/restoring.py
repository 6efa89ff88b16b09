"""Brings a certified state from other replicas when the core asks for it, and serves ours to those that ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from outvote.core.contract import Message, Transfer
from outvote.host.ports import Observer
from outvote.host.voice import Voice
from outvote.machines.fetcher import Fetcher
from outvote.machines.merkle_map import MerkleMap, Record
from outvote.machines.state_transfer import TRANSFER_MESSAGES, FetchNodes, Nodes, Server
from outvote.types import MILLISECOND, NEVER, Nanos, ReplicaId, Size

TICK_NS: Final = 250 * MILLISECOND
SERVED_PER_TICK_MAX = 64  # answers one asker gets in a tick: 20 MiB, so that a liar cannot keep us busy for nothing

TRANSFER_KINDS: Final = frozenset(TRANSFER_MESSAGES)


class Restoring:
    """At most one fetch at a time: a newer Transfer replaces an older one."""

    def __init__(
        self, me: ReplicaId, server: Server, voice: Voice, observer: Observer,
        set_aside: Callable[[Sequence[Record], MerkleMap], None],
    ) -> None:  # fmt: skip
        """`set_aside` gets what was fetched and verified, and all that is here by then, for a fetch that goes on after
        a crash."""
        self._me = me
        self._server = server
        self.voice = voice
        self._observer = observer
        self._set_aside = set_aside
        self._fetcher: Fetcher | None = None
        self._served: dict[ReplicaId, int] = {}
        self._served_since: Nanos = 0
        self.wake_at: Nanos = NEVER
        self._tick_ns: Nanos = TICK_NS

    @property
    def under_way(self) -> bool:
        """Whether something is being fetched, or waits to be taken over."""
        return self._fetcher is not None

    def begin(self, transfer: Transfer, base: MerkleMap, now: Nanos) -> None:
        """Fetch this state on top of `base`, unless that is under way; a fetch of another state hands over what it
        has."""
        current = self._fetcher
        if current is not None and (current.position, current.digest) == (transfer.position, transfer.digest):
            return
        self._observer.note(f"fetching the state of position {transfer.position}")
        if current is not None:
            base = current.state
        self._fetcher = Fetcher(
            transfer.position, transfer.digest, transfer.sources, base, self._arrived, transfer.patience_ns
        )
        self._tick_ns = min(TICK_NS, transfer.patience_ns // 4)
        self.wake_at = now + self._tick_ns
        for receiver, hint in self._fetcher.start():
            self.voice.hint(receiver, hint)

    def _arrived(self, records: list[Record]) -> None:
        if self._fetcher is not None:
            self._set_aside(records, self._fetcher.state)

    def take(self, sender: ReplicaId, message: Message) -> None:
        """A message of one of TRANSFER_KINDS."""
        if isinstance(message, FetchNodes):
            served = self._served.get(sender, 0)
            if served < SERVED_PER_TICK_MAX:
                self._served[sender] = served + 1
                for answer in self._server.answer(sender, message):
                    self.voice.hint(sender, answer)
            else:
                self._observer.count("transfers_refused")
        elif isinstance(message, Nodes) and self._fetcher is not None:
            for receiver, hint in self._fetcher.receive(sender, message):
                self.voice.hint(receiver, hint)

    def tick(self, now: Nanos) -> None:
        if now - self._served_since >= TICK_NS:
            self._served = {}
            self._served_since = now
        if self._fetcher is None or now < self.wake_at:
            return
        self.wake_at = now + self._tick_ns
        for receiver, hint in self._fetcher.tick(now):
            self.voice.hint(receiver, hint)

    def finished(self) -> Fetcher | None:
        """The fetch that was asked for, once, when all of it is here and verified."""
        fetcher = self._fetcher
        if fetcher is None or fetcher.done is None:
            return None
        self._fetcher = None
        self.wake_at = NEVER
        return fetcher

    def sizes(self) -> Iterator[Size]:
        """What is held, and its limits."""
        yield from self._server.sizes()
        if self._fetcher is not None:
            yield from self._fetcher.sizes()
        yield "answers to one in a tick", max(self._served.values(), default=0), SERVED_PER_TICK_MAX
