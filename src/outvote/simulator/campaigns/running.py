"""Running many cases: in this process, over several, or over the workers of a cluster; and what they have covered.

Results come in the order of the cases, whoever ran them: so two batches of the same cases are told in the same words.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module, metadata
from itertools import islice
from statistics import median
from typing import Any, Final, NamedTuple

from outvote.errors import Mistake
from outvote.protocols.catalogue import PBFT, Protocol
from outvote.protocols.catalogue import protocol as find_protocol
from outvote.simulator.campaigns.catalogue import Campaign, cases, plan_of_case
from outvote.simulator.runs import EXPECTED_MARKS, LIARS_MARKS, RunResult, run_plan

CHUNK_CASES: Final = 10  # handed to a worker at once: about a second of work
CHUNKS_AHEAD: Final = 8  # a worker's: more would only wait in memory
PATIENCE_SECONDS: Final = 10  # for a scheduler that may not be there


class Ran(NamedTuple):
    """One case and what came of it."""

    case: str
    result: RunResult


class Summary(NamedTuple):
    """A batch of runs of one campaign."""

    protocol: str
    campaign: str
    runs: int
    events: int
    delivered: int  # messages between replicas
    views: int  # the highest views of all runs, summed up
    median_view: float  # of the runs' highest views
    failures: tuple[Ran, ...]
    marks: dict[str, int]  # by name, expected ones first, also those that are 0
    missed: tuple[str, ...]  # what was expected and not seen, in words; empty for few runs

    @property
    def ok(self) -> bool:
        return not self.failures and not self.missed


def run_case(protocol: str, case: str, keep_trace: bool = False, chronicle: bool = False) -> RunResult:
    """The run that a case stands for. Raises Mistake if there is no such protocol or case."""
    return run_plan(protocol, plan_of_case(find_protocol(protocol), case), keep_trace, chronicle)


def _run_chunk(protocol: str, chunk: Sequence[str]) -> list[Ran]:
    return [Ran(case, run_case(protocol, case)) for case in chunk]


# ---------------------------------------------------------------------- where they run


class Place(NamedTuple):
    """Where cases run: in this process if there is no executor."""

    executor: Executor | None
    workers: int


@contextmanager
def processes(workers: int) -> Iterator[Place]:
    """So many processes of this machine; for one, this process itself."""
    if workers <= 1:
        yield Place(None, 1)
        return
    pool = ProcessPoolExecutor(max_workers=workers)
    try:
        yield Place(pool, workers)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _version() -> str:
    return metadata.version("outvote")


@contextmanager
def dask(address: str) -> Iterator[Place]:
    """The workers of a Dask cluster, by the address of its scheduler. Raises Mistake if there is none, if it has no
    workers, if they run another outvote, or if Dask is not installed here."""
    try:
        client_class: Any = import_module("distributed").Client
    except ImportError as error:
        raise Mistake("--dask needs Dask: pip install 'outvote[cluster]', here and on the workers") from error
    try:
        client = client_class(address, timeout=PATIENCE_SECONDS, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise Mistake(f"no Dask scheduler answers at {address}: start one with dask scheduler") from error
    try:
        versions = client.run(_version)
        if not versions:
            raise Mistake(f"the scheduler at {address} has no workers: start some with dask worker {address}")
        others = sorted(set(versions.values()) - {_version()})
        if others:
            raise Mistake(f"workers run outvote {', '.join(others)}, this is {_version()}: install the same version")
        yield Place(client.get_executor(pure=False), sum(client.nthreads().values()))
    finally:
        client.close()


def place_of(workers: int, address: str = "") -> AbstractContextManager[Place]:
    """Processes of this machine, or a Dask cluster if an address is given."""
    return dask(address) if address else processes(workers)


def results(protocol: str, names: Iterable[str], place: Place) -> Iterator[Ran]:
    """Every case, in order, however many there are. Raises Mistake if a worker dies."""
    find_protocol(protocol)
    waiting = iter(names)
    executor = place.executor
    if executor is None:
        for case in waiting:
            yield Ran(case, run_case(protocol, case))
        return
    running: deque[Future[list[Ran]]] = deque()
    try:
        while True:
            while len(running) < CHUNKS_AHEAD * place.workers:
                chunk = list(islice(waiting, CHUNK_CASES))
                if not chunk:
                    break
                running.append(executor.submit(_run_chunk, protocol, chunk))
            if not running:
                return
            yield from running.popleft().result()
    except BrokenExecutor as error:
        raise Mistake("a worker process was ended from outside: give it more memory, or fewer --workers") from error
    finally:
        for future in running:
            future.cancel()


# ---------------------------------------------------------------------- what came of it


class Count:
    """Sums up results as they come in."""

    def __init__(self, protocol: Protocol, campaign: Campaign) -> None:
        self._protocol = protocol
        self._campaign = campaign
        expected = campaign.expected_marks
        if campaign.name == "swarm":
            real_keys = ("real threshold keys",) if protocol.deals else ()
            expected = (*EXPECTED_MARKS, *protocol.expected_marks, *real_keys)
        if not protocol.seals:  # what nobody signed convinces no third party
            expected = tuple(name for name in expected if name != "evidence found")
        if not protocol.byzantine:
            expected = tuple(name for name in expected if name not in (*LIARS_MARKS, *PBFT.expected_marks))
        if not protocol.led:  # no views; and of what is said there, checkpoints alone are signed
            expected = tuple(name for name in expected if name not in (*PBFT.expected_marks, "evidence found"))
        self._expected = expected
        self.marks = dict.fromkeys(expected, 0)
        self.failures: list[Ran] = []
        self.events = self.delivered = 0
        self.highest: list[int] = []

    @property
    def runs(self) -> int:
        return len(self.highest)

    def add(self, ran: Ran) -> None:
        result = ran.result
        self.events += result.events
        self.delivered += result.delivered
        self.highest.append(result.view)
        for name, amount in result.marks.items():
            self.marks[name] = self.marks.get(name, 0) + amount
        if not result.ok:
            self.failures.append(ran)

    def summary(self) -> Summary:
        middle = median(self.highest) if self.highest else 0
        missed: list[str] = []
        if self.runs >= self._campaign.runs_min:
            missed = [name for name in self._expected if not self.marks[name]]
            least = self._campaign.median_view_min
            if self._protocol.led and middle < least:
                missed.append(f"view {least} in half of the runs (the median is {middle:g})")
        return Summary(
            self._protocol.name, self._campaign.name, self.runs, self.events, self.delivered, sum(self.highest),
            middle, tuple(self.failures), self.marks, tuple(missed),
        )


def run(
    protocol: str, campaign: Campaign, first: int, count: int, place: Place,
    progress: Callable[[Ran], None] | None = None,
) -> Summary:
    """All cases of a batch, summed up. `progress` is told of each as it comes in, in their order."""
    found = find_protocol(protocol)
    counted = Count(found, campaign)
    for ran in results(protocol, cases(found, campaign, first, count), place):
        counted.add(ran)
        if progress is not None:
            progress(ran)
    return counted.summary()
