"""The clients of `outvote demo`: steady load, and an oracle that knows which answers cannot be right.

Every value is written once, so each client knows at once that an answer is wrong if it tells of a value nobody wrote,
of a version older than one acknowledged before the call, or of two values under one version. What needs a longer
look - whether all answers together fit one order - is the linearizability check's part, over the same history.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from random import Random
from statistics import median
from typing import Any, Final

from outvote.client.aio import Client
from outvote.errors import Mistake, NotEnoughReplicas, Refused, Unanswered
from outvote.simulator.checkers.linearizability import Operation
from outvote.types import MILLISECOND, SECOND, Nanos

KEYS: Final = 40
WORKERS_EACH: Final = 4
BUCKET_NS: Final = 250 * MILLISECOND  # one bar of the sparkline
BUCKETS_KEPT: Final = 48
LATENCY_WINDOW_NS: Final = 2 * SECOND
WRONG_SHOWN_MAX: Final = 5  # sentences kept; all are counted

Arguments = tuple[Any, ...]


class Oracle:
    """Judges each answer when it comes."""

    def __init__(self) -> None:
        self.wrong = 0
        self.sentences: list[str] = []  # of the first ones
        self._written: dict[str, set[str]] = {}
        self._held: dict[int, tuple[str, str]] = {}  # version -> key and value; one counter serves the store
        self._acknowledged: dict[str, int] = {}  # newest version that any client was told of

    def newest(self, key: str) -> int:
        """The newest version that any answer told of; 0 if there was none."""
        return self._acknowledged.get(key, 0)

    def begun(self, name: str, arguments: Arguments) -> int:
        """To be called before the operation is sent; returns the version that its answer must not fall behind."""
        key = arguments[0]
        if name != "get":
            self._written.setdefault(key, set()).add(arguments[1])
        return self.newest(key)

    def judge(self, name: str, arguments: Arguments, floor: int, result: Any) -> bool:
        """Whether the answer can be right. `result`: as the store returns it, an entry as (value, version)."""
        key = arguments[0]
        if name == "get":
            problem = self._read(key, floor, result)
        elif name == "cas" and result is None:
            problem = ""  # another write came first: only the whole history can tell
        elif name == "cas" and floor > arguments[2]:
            problem = f"version {arguments[2]} was replaced, though {floor} had been acknowledged before"
        else:
            problem = self._written_as(key, arguments[1], floor, result)
        if problem:
            self.condemn(f"{name} {key}: {problem}")
        return not problem

    def condemn(self, sentence: str) -> None:
        """Count one wrong reply."""
        self.wrong += 1
        if len(self.sentences) < WRONG_SHOWN_MAX:
            self.sentences.append(sentence)

    def _read(self, key: str, floor: int, result: Any) -> str:
        if result is None:
            return f"nothing there, though version {floor} had been acknowledged before" if floor else ""
        value, version = result
        if value not in self._written.get(key, ()):
            return f"{value!r}, which nobody wrote"
        if version < floor:
            return f"version {version}, though {floor} had been acknowledged before"
        return self._held_as(key, value, version)

    def _written_as(self, key: str, value: str, floor: int, version: Any) -> str:
        if not isinstance(version, int):
            return f"{version!r} is no version"
        if version <= floor:
            return f"written as version {version}, though {floor} had been acknowledged before"
        return self._held_as(key, value, version)

    def _held_as(self, key: str, value: str, version: int) -> str:
        held = self._held.setdefault(version, (key, value))
        if held != (key, value):
            return f"version {version} is {value!r}, but it was {held[1]!r} of key {held[0]}"
        self._acknowledged[key] = max(version, self.newest(key))
        return ""


class Pulse:
    """Operations per second, latency, and the longest time in which nothing was acknowledged."""

    def __init__(self) -> None:
        self._buckets: deque[int] = deque([0], maxlen=BUCKETS_KEPT)
        self._bucket_began = time.monotonic_ns()
        self._recent: deque[tuple[Nanos, Nanos]] = deque()  # (when, how long)
        self._last: Nanos = time.monotonic_ns()
        self._longest: Nanos = 0
        self.latencies: list[Nanos] = []  # since `measure`
        self._measured_from: Nanos = self._last

    def beat(self, now: Nanos, latency: Nanos) -> None:
        self._roll(now)
        self._buckets[-1] += 1
        self._recent.append((now, latency))
        self.latencies.append(latency)
        self._longest = max(self._longest, now - self._last)
        self._last = now

    def measure(self, now: Nanos) -> None:
        """Forget gaps and latencies until now; the time before does not count as a gap."""
        self._longest = 0
        self._last = self._measured_from = now
        self.latencies = []

    def longest_gap(self, now: Nanos) -> Nanos:
        """Since `measure`: the longest time between two acknowledgments, the one that lasts included."""
        return max(self._longest, now - self._last)

    def rate_since_measure(self, now: Nanos) -> float:
        return len(self.latencies) * SECOND / max(1, now - self._measured_from)

    def bars(self, now: Nanos) -> list[int]:
        """Acknowledged in each quarter of a second, oldest first, without the one that is not over."""
        self._roll(now)
        return list(self._buckets)[:-1]

    def rate(self, now: Nanos) -> float:
        """Per second, over the last second."""
        bars = self.bars(now)[-SECOND // BUCKET_NS :]
        return sum(bars) * SECOND / (BUCKET_NS * len(bars)) if bars else 0.0

    def latency(self, now: Nanos) -> Nanos:
        """Median of the last two seconds; 0 if nothing was acknowledged."""
        while self._recent and self._recent[0][0] < now - LATENCY_WINDOW_NS:
            self._recent.popleft()
        return int(median(latency for _, latency in self._recent)) if self._recent else 0

    def _roll(self, now: Nanos) -> None:
        while now - self._bucket_began >= BUCKET_NS:
            self._bucket_began += BUCKET_NS
            self._buckets.append(0)


class Load:
    """Workers that each keep one operation going; a history of all that was called."""

    def __init__(self, clients: Sequence[Client]) -> None:
        self.clients = list(clients)
        self.oracle = Oracle()
        self.pulse = Pulse()
        self.history: list[Operation] = []
        self.sent = self.acknowledged = self.unknown = self.refused = self.not_sent = 0
        self.in_flight = 0
        self._value = 0
        self._gate = asyncio.Event()
        self._moved = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self) -> None:
        loop = asyncio.get_running_loop()
        for number, client in enumerate(self.clients):
            for worker in range(WORKERS_EACH):
                self._tasks.append(loop.create_task(self._work(client, Random(100 * number + worker))))

    def resume(self) -> None:
        self.pulse.measure(time.monotonic_ns())
        self._gate.set()

    def pause(self) -> None:
        """No new operations; those under way go on."""
        self._gate.clear()

    async def drained(self) -> None:
        """Until nothing is under way."""
        while self.in_flight:
            await self._movement()

    async def progress(self, operations: int) -> None:
        """Until so many more operations are acknowledged."""
        target = self.acknowledged + operations
        while self.acknowledged < target:
            await self._movement()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def draw(self, rng: Random) -> tuple[str, Arguments]:
        """Two puts, two gets, one compare-and-set."""
        key = f"key-{rng.randrange(KEYS):02}"
        kind = rng.randrange(5)
        if kind < 2:
            return "get", (key,)
        self._value += 1
        value = f"value {self._value}"
        return ("put", (key, value)) if kind < 4 else ("cas", (key, value, self.oracle.newest(key)))

    async def operate(self, client: Client, name: str, arguments: Arguments) -> Unanswered | None:
        """One operation, judged and written into the history; returns why there was no answer, if there was none."""
        floor = self.oracle.begun(name, arguments)
        self.sent += 1
        self.in_flight += 1
        called = time.monotonic_ns()
        returned: Nanos | None = None
        result: Any = None
        position = 0
        happened = True
        failure: Unanswered | None = None
        try:
            answer = await client.submit(name, *arguments)
            returned = time.monotonic_ns()
            value, position = answer.value, answer.position
            result = (value.value, value.version) if name == "get" and value is not None else value
            self.acknowledged += 1
            self.pulse.beat(returned, returned - called)
            self.oracle.judge(name, arguments, floor, result)
        except Refused as error:
            failure = error
            self.refused += 1
        except Unanswered as error:
            failure = error
            happened = not (isinstance(error, NotEnoughReplicas) and not error.may_execute)
            self.unknown += happened
            self.not_sent += not happened
        except Mistake as error:
            # The arguments fit, so what was accepted as an answer does not.
            self.acknowledged += 1
            self.oracle.condemn(f"{name} {arguments[0]}: {error}")
        except asyncio.CancelledError:
            self.unknown += 1
            raise
        finally:
            self.in_flight -= 1
            if happened:
                entry = Operation(self._number(client), called, returned, (name, arguments))
                self.history.append(entry if returned is None else entry._replace(result=result, hint=position))
            self._moved.set()
        return failure

    async def write(self, entries: Sequence[tuple[str, str]]) -> None:
        """Put these, all at once: the client makes a few large requests of them."""
        client = self.clients[0]
        await asyncio.gather(*(self.operate(client, "put", entry) for entry in entries))

    def outvoted(self) -> list[int]:
        """By replica: replies that differed from what f + 1 others agreed on."""
        return [sum(column) for column in zip(*(c.session.wrong_replies for c in self.clients), strict=True)]

    def _number(self, client: Client) -> int:
        return self.clients.index(client) if client in self.clients else len(self.clients)

    async def _work(self, client: Client, rng: Random) -> None:
        while True:
            await self._gate.wait()
            await self.operate(client, *self.draw(rng))

    async def _movement(self) -> None:
        self._moved.clear()
        await self._moved.wait()
