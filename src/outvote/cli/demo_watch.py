"""What the replicas of `outvote demo` say of themselves, asked again and again, and compared with each other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from outvote.cli.demo_cluster import DemoCluster, N
from outvote.client.aio import Client
from outvote.errors import Mistake
from outvote.protocols.catalogue import protocol
from outvote.types import Digest, Position, ReplicaId
from outvote.wire.client_messages import Report

WATCHER: Final = "watch"  # the name of the client that asks
INTERVAL_S: Final = 0.1
ANSWER_TIMEOUT_S: Final = 0.5
PATIENCE_S: Final = 60.0  # for whatever is waited for; on an idle machine it comes within two seconds
CHECKPOINTS_KEPT: Final = 16


class Watch:
    """Polls; `reports` are the newest, None for a replica that does not answer."""

    def __init__(self, cluster: DemoCluster) -> None:
        self.reports: list[Report | None] = [None] * N
        self.interval_s = INTERVAL_S
        self.position_before: Position = 0  # the highest that any replica reported in the poll before the newest
        self._cluster = cluster
        self._client: Client | None = None
        self._lock = asyncio.Lock()
        self._polled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._checkpoints: dict[Position, dict[ReplicaId, Digest]] = {}

    async def begin(self) -> None:
        self._client = await Client.connect(self._cluster.directory, WATCHER)
        self._task = asyncio.get_running_loop().create_task(self._poll())

    async def renew(self) -> None:
        """Connect anew: a replica that came back is then met at once, not after the pause between two attempts."""
        async with self._lock:
            if self._client is not None:
                await self._client.close()
            self._client = await Client.connect(self._cluster.directory, WATCHER)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._client is not None:
            await self._client.close()

    async def until(self, what: str, condition: Callable[[], bool]) -> None:
        """Until the newest reports fulfil `condition`. Raises Mistake, saying what was waited for."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not condition():
                    await self._polled.wait()
        except TimeoutError:
            ends = "".join(f"; {sentence}" for sentence in self._cluster.unexpected_ends())
            raise Mistake(f"{PATIENCE_S:g} s were not enough until {what}{ends}") from None

    async def fresh(self) -> None:
        """Until the reports are younger than this call."""
        for _ in range(2):
            await self._polled.wait()

    def view(self) -> int:
        """The newest view in which f + 1 replicas say that they work: so at least one honest one does."""
        views = sorted(report.standing.view for report in self.reports if report is not None and report.standing.active)
        return views[-2] if len(views) >= 2 else 0

    def leader(self) -> ReplicaId:
        return self.view() % N

    def agreement(self, report: Report) -> bool | None:
        """Whether this replica's newest checkpoint has the same digest as the others' at that position; None if no
        other one is known there."""
        others = [
            digest
            for replica, digest in self._checkpoints.get(report.checkpoint, {}).items()
            if replica != report.replica
        ]
        return all(digest == report.checkpoint_digest for digest in others) if others else None

    def position(self) -> Position:
        """The highest that any replica reports."""
        return max((report.standing.position for report in self.reports if report is not None), default=0)

    def stable(self) -> Position:
        """The newest checkpoint that all replicas say to have stored or to be storing."""
        return min((0 if report is None else report.standing.stable for report in self.reports), default=0)

    def settled(self) -> bool:
        """All replicas answer and stand at one position."""
        return None not in self.reports and len({r.standing.position for r in self.reports if r is not None}) == 1

    def equal(self) -> bool:
        """All histories have one digest; to be asked while `settled`."""
        return len({report.history for report in self.reports if report is not None}) == 1

    def in_view_from(self, view: int, besides: tuple[ReplicaId, ...] = ()) -> bool:
        """Whether a quorum of the replicas, those `besides` not asked, works in this view or a later one."""
        there = [
            report.replica
            for report in self.reports
            if report is not None
            and report.replica not in besides
            and report.standing.active
            and report.standing.view >= view
        ]
        return len(there) >= N - 1

    def sent(self) -> dict[str, int]:
        """Messages of the types that the formula counts, over all replicas, by type."""
        ordering = protocol(self._cluster.genesis.entry).ordering
        return {
            name: sum(report.counters.get(f"{name}_sent", 0) for report in self.reports if report is not None)
            for name in ordering
        }

    async def _poll(self) -> None:
        while True:
            self.position_before = self.position()
            async with self._lock:
                if self._client is not None:
                    self.reports = await self._client.status(ANSWER_TIMEOUT_S)
            for report in self.reports:
                if report is not None and report.checkpoint:
                    digests = self._checkpoints.setdefault(report.checkpoint, {})
                    digests[report.replica] = report.checkpoint_digest
            while len(self._checkpoints) > CHECKPOINTS_KEPT:
                del self._checkpoints[min(self._checkpoints)]
            polled, self._polled = self._polled, asyncio.Event()
            polled.set()
            await asyncio.sleep(self.interval_s)

