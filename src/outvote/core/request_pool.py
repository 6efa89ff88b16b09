"""Requests that a replica knows of and has not seen executed; the leader cuts its batches from here.

First come, first cut. Bounded per client, so that no client can push out another, and in all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from outvote.core.contract import Request
from outvote.types import ClientId, Size

PER_CLIENT_MAX: Final = 64  # the client table's window (OUTSTANDING_MAX): more could not be executed anyway
REQUESTS_MAX: Final = 4096  # 4096 x 256 KiB would be 1 GiB, so bytes are bounded too:
BYTES_MAX: Final = 64 * 1024 * 1024
RECENT_PER_CLIENT_MAX: Final = 256  # executed numbers remembered a client: 4 windows, 8 bytes each


class RequestPool:
    """Waiting requests in order of arrival, and which of a client's numbers were executed lately."""

    __slots__ = ("_bytes", "_executed", "_low", "_per_client", "_unproposed", "_waiting")

    def __init__(self) -> None:
        self._waiting: dict[tuple[ClientId, int], Request] = {}
        self._unproposed: dict[tuple[ClientId, int], Request] = {}
        self._per_client: dict[ClientId, int] = {}
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
        if held >= PER_CLIENT_MAX or len(self._waiting) >= REQUESTS_MAX or self._bytes + size > BYTES_MAX:
            return False
        self._waiting[key] = self._unproposed[key] = request
        self._per_client[request.client] = held + 1
        self._bytes += size
        return True

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
        self._unproposed.pop(key, None)
        self._bytes -= request.size_bytes()
        held = self._per_client[key[0]] - 1
        if held:
            self._per_client[key[0]] = held
        else:
            del self._per_client[key[0]]

    def has_unproposed(self) -> bool:
        return bool(self._unproposed)

    def fills(self, requests_max: int, bytes_max: int) -> bool:
        """Whether a batch cut now would be full."""
        if len(self._unproposed) >= requests_max:
            return True
        return self._bytes >= bytes_max and sum(one.size_bytes() for one in self._unproposed.values()) >= bytes_max

    def cut(self, requests_max: int, bytes_max: int) -> tuple[Request, ...]:
        """The oldest requests not yet proposed, marked as proposed; at least one if there is any."""
        batch: list[Request] = []
        size = 0
        for request in self._unproposed.values():
            size += request.size_bytes()
            if batch and (len(batch) >= requests_max or size > bytes_max):
                break
            batch.append(request)
        for request in batch:
            del self._unproposed[request.key]
        return tuple(batch)

    def mark_proposed(self, request: Request) -> None:
        """Another leader's proposal holds it: do not propose it again in this view."""
        self._unproposed.pop(request.key, None)

    def propose_again(self) -> None:
        """A new view began: everything that waits may be proposed afresh, oldest first."""
        self._unproposed = dict(self._waiting)

    def oldest(self) -> tuple[ClientId, int] | None:
        """The key of the request that has waited longest."""
        return next(iter(self._waiting), None)

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
