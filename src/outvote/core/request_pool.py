"""Requests that a replica knows of and has not seen executed; the leader cuts its batches from here.

Fair between clients, first come first cut within each: batches are cut by start-time fair queueing (Goyal, Vin and
Cheng, SIGCOMM 1996). Each client has a clock that its own requests move on by what they cost, and whose clock is
furthest behind is next; so a client that asks for a hundred times as much as another waits for itself. Bounded per
client and in all; when all is full, the newcomer takes the place of the newest request of whoever holds most.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from outvote.core.contract import Request
from outvote.types import ClientId, Size

PER_CLIENT_MAX: Final = 64  # the client table's window (OUTSTANDING_MAX): more could not be executed anyway
REQUESTS_MAX: Final = 4096  # 4096 x 256 KiB would be 1 GiB, so bytes are bounded too:
BYTES_MAX: Final = 64 * 1024 * 1024
RECENT_PER_CLIENT_MAX: Final = 256  # executed numbers remembered a client: 4 windows, 8 bytes each
BYTES_OF_AN_OPERATION: Final = 1024  # moving so many bytes around costs about as much as executing one operation

# In operations. While several clients want something, none gets more of one batch, or all would wait until its part is
# executed: one full request, a few milliseconds.
SHARE_MAX: Final = 256
CONTENDED_CUTS: Final = 16  # batches behind one that several shared: whoever waits for an answer is away meanwhile


def cost_of(request: Request) -> int:
    """What it takes of a batch, in operations."""
    return len(request.operations) + request.size_bytes() // BYTES_OF_AN_OPERATION


class RequestPool:
    """Waiting requests in order of arrival, and which of a client's numbers were executed lately."""

    __slots__ = (
        "_bytes", "_bytes_of", "_clock", "_clocks", "_contended", "_executed", "_low", "_per_client", "_queues",
        "_unproposed", "_waiting",
    )

    def __init__(self) -> None:
        self._waiting: dict[tuple[ClientId, int], Request] = {}
        self._unproposed: dict[tuple[ClientId, int], Request] = {}
        self._queues: dict[ClientId, dict[int, Request]] = {}  # the unproposed of each client, in order of arrival
        self._clocks: dict[ClientId, int] = {}  # of clients that are ahead of `_clock`
        self._clock = 0  # of the request cut last
        self._contended = 0  # so many cuts more
        self._per_client: dict[ClientId, int] = {}
        self._bytes_of: dict[ClientId, int] = {}
        self._executed: dict[ClientId, dict[int, None]] = {}
        self._low: dict[ClientId, int] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, request: Request) -> bool:
        """Take a request in; False if it is known, executed, or there is no room for it."""
        key = request.key
        if key in self._waiting or self.executed(request.client, request.number):
            return False
        held = self._per_client.get(request.client, 0)
        size = request.size_bytes()
        if held >= PER_CLIENT_MAX or not self._make_room(request, size):
            return False
        self._waiting[key] = request
        self._queue(request)
        self._per_client[request.client] = held + 1
        self._bytes_of[request.client] = self._bytes_of.get(request.client, 0) + size
        self._bytes += size
        return True

    def room(self, client: ClientId) -> int:
        """How many more requests of this client may wait."""
        return PER_CLIENT_MAX - self._per_client.get(client, 0)

    def _make_room(self, request: Request, size: int) -> bool:
        """Many clients together can fill the pool. Who holds most gives way to who would hold less even with this one;
        what is proposed already stays."""
        client = request.client
        while len(self._waiting) >= REQUESTS_MAX:
            if not self._drop_newest(self._per_client, self._per_client.get(client, 0) + 1):
                return False
        while self._bytes + size > BYTES_MAX:
            if not self._drop_newest(self._bytes_of, self._bytes_of.get(client, 0) + size):
                return False
        return True

    def _drop_newest(self, held: Mapping[ClientId, int], more_than: int) -> bool:
        """Of the client that holds most; False if it does not hold more than this, or has nothing that is not
        proposed."""
        greediest = max(self._queues, key=lambda one: held[one], default=None)
        if greediest is None or held[greediest] <= more_than:
            return False
        self._forget((greediest, next(reversed(self._queues[greediest]))))
        return True

    def _queue(self, request: Request) -> None:
        self._unproposed[request.key] = request
        self._queues.setdefault(request.client, {})[request.number] = request

    def _unqueue(self, key: tuple[ClientId, int]) -> None:
        if self._unproposed.pop(key, None) is None:
            return
        queue = self._queues[key[0]]
        del queue[key[1]]
        if not queue:
            del self._queues[key[0]]

    def executed(self, client: ClientId, number: int) -> bool:
        return number <= self._low.get(client, 0) or number in self._executed.get(client, ())

    def mark_executed(self, request: Request) -> None:
        """The request was delivered: it waits no longer and is not taken in again."""
        client, number = request.key
        self._forget(request.key)
        recent = self._executed.setdefault(client, {})
        recent[number] = None
        low = min(request.acknowledged, number - 1)
        if low > self._low.get(client, 0):
            self._low[client] = low
            for stale in [known for known in recent if known <= low]:
                del recent[stale]
            for key in [key for key in self._waiting if key[0] == client and key[1] <= low]:
                self._forget(key)
        while len(recent) > RECENT_PER_CLIENT_MAX:
            del recent[next(iter(recent))]

    def forget(self, keys: Sequence[tuple[ClientId, int]]) -> None:
        """Some of what waits was executed elsewhere, and the state was fetched. To go on waiting for it would be to
        suspect a leader that is right not to propose it."""
        for key in keys:
            request = self._waiting.get(key)
            if request is not None:
                self.mark_executed(request)

    def _forget(self, key: tuple[ClientId, int]) -> None:
        request = self._waiting.pop(key, None)
        if request is None:
            return
        self._unqueue(key)
        size = request.size_bytes()
        self._bytes -= size
        held = self._per_client[key[0]] - 1
        if held:
            self._per_client[key[0]] = held
            self._bytes_of[key[0]] -= size
        else:
            del self._per_client[key[0]]
            del self._bytes_of[key[0]]

    def has_unproposed(self) -> bool:
        return bool(self._unproposed)

    def fills(self, requests_max: int, bytes_max: int) -> bool:
        """Whether a batch cut now would be full."""
        if len(self._unproposed) >= requests_max:
            return True
        return self._bytes >= bytes_max and sum(one.size_bytes() for one in self._unproposed.values()) >= bytes_max

    def cut(self, requests_max: int, bytes_max: int) -> tuple[Request, ...]:
        """Requests not yet proposed, in turn by client, marked as proposed; at least one if there is any."""
        batch: list[Request] = []
        size = 0
        self._contended = CONTENDED_CUTS if len(self._queues) > 1 else max(0, self._contended - 1)
        shares: dict[ClientId, int] = {}
        turns = [(self._begins(client), index, client) for index, client in enumerate(self._queues)]
        heapq.heapify(turns)
        while turns and len(batch) < requests_max:
            begins, index, client = turns[0]
            request = next(iter(self._queues[client].values()))
            size += request.size_bytes()
            if batch and size > bytes_max:
                break
            batch.append(request)
            self._clock = begins
            cost = cost_of(request)
            self._clocks[client] = begins + cost
            shares[client] = shares.get(client, 0) + cost
            self._unqueue(request.key)
            if client in self._queues and not (self._contended and shares[client] >= SHARE_MAX):
                heapq.heapreplace(turns, (self._clocks[client], index, client))
            else:
                heapq.heappop(turns)
        self._clocks = {client: clock for client, clock in self._clocks.items() if clock > self._clock}
        return tuple(batch)

    def _begins(self, client: ClientId) -> int:
        """Who was away is given no credit for it."""
        return max(self._clock, self._clocks.get(client, 0))

    def mark_proposed(self, request: Request) -> None:
        """Another leader's proposal holds it: do not propose it again in this view."""
        self._unqueue(request.key)

    def propose_again(self) -> None:
        """A new view began: everything that waits may be proposed afresh, oldest first."""
        self._unproposed = {}
        self._queues = {}
        for request in self._waiting.values():
            self._queue(request)

    def oldest_unproposed(self) -> Request | None:
        """The request that has waited longest of those that no proposal of this view holds."""
        return next(iter(self._unproposed.values()), None)

    def oldest(self) -> tuple[ClientId, int] | None:
        """The key of the request that has waited longest."""
        return next(iter(self._waiting), None)

    def get(self, key: tuple[ClientId, int]) -> Request | None:
        """A request that waits."""
        return self._waiting.get(key)

    def waits(self, key: tuple[ClientId, int]) -> bool:
        return key in self._waiting

    def waiting(self) -> list[Request]:
        """Everything not yet executed, in order of arrival."""
        return list(self._waiting.values())

    def sizes(self) -> Iterator[Size]:
        """What is held, and its limits."""
        yield "waiting requests", len(self._waiting), REQUESTS_MAX
        yield "bytes of waiting requests", self._bytes, BYTES_MAX
        yield "waiting requests of a client", max(self._per_client.values(), default=0), PER_CLIENT_MAX
        yield "requests to propose", len(self._unproposed), len(self._waiting)
        for recent in self._executed.values():
            yield "executed numbers of a client", len(recent), RECENT_PER_CLIENT_MAX
