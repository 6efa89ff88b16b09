"""Runs of the simulator by seed: one, or a batch over several processes, and what a batch has covered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Final, NamedTuple

from outvote.protocols.catalogue import protocol as find_protocol
from outvote.simulator.checkers.violation import Violation
from outvote.simulator.plan import Plan, draw
from outvote.simulator.world import World

CHUNK_SEEDS: Final = 10  # handed to a worker at once: about a second of work

# Whatever the protocol: a batch of BATCH_SEEDS runs without one of these has not tested what it claims to.
EXPECTED_MARKS: Final = (
    "crashes", "torn tails", "messages lost", "messages doubled", "evidence found", "lies dropped",
    "stable checkpoints", "states fetched", "requests ordered twice",
)
BATCH_SEEDS: Final = 100  # fewer runs need not have seen everything


class RunResult(NamedTuple):
    """One run. `violation` is empty if `ok`; `trace` is empty unless it was asked for."""

    seed: int
    ok: bool
    violation: str
    events: int
    digest: str  # of the trace: equal for equal runs
    marks: dict[str, int]
    plan: str
    trace: tuple[str, ...]


class Summary(NamedTuple):
    """A batch of runs."""

    protocol: str
    runs: int
    events: int
    failures: tuple[RunResult, ...]
    marks: dict[str, int]  # by name, expected ones first, also those that are 0
    missed: tuple[str, ...]  # expected and not seen; always empty for fewer than BATCH_SEEDS runs

    @property
    def ok(self) -> bool:
        return not self.failures and not self.missed


def run_seed(protocol: str, seed: int, keep_trace: bool = False) -> RunResult:
    """The run that this seed stands for. Raises Mistake if there is no such protocol."""
    return run_plan(protocol, draw(seed), keep_trace)


def run_plan(protocol: str, plan: Plan, keep_trace: bool = False) -> RunResult:
    """One run of a given plan; whatever it raises besides a Violation is a bug too, and reported like one."""
    world = World(plan, find_protocol(protocol), keep_trace)
    violation = ""
    try:
        world.run()
    except Violation as error:
        violation = str(error)
    except Exception as error:
        violation = f"exception: {type(error).__name__}: {error}"
    world.mark("messages lost", world.network.lost)
    world.mark("messages doubled", world.network.doubled)
    return RunResult(
        plan.seed, not violation, violation, world.events, world.trace_digest(), dict(sorted(world.marks.items())),
        plan.describe(), tuple(world.trace.lines),
    )


def _run_chunk(protocol: str, seeds: Sequence[int]) -> list[RunResult]:
    return [run_seed(protocol, seed) for seed in seeds]


def results(protocol: str, seeds: Sequence[int], workers: int = 2) -> Iterator[RunResult]:
    """Every run, in the order of the seeds. With one worker, in this process."""
    find_protocol(protocol)
    if workers <= 1:
        for seed in seeds:
            yield run_seed(protocol, seed)
        return
    chunks = [seeds[start : start + CHUNK_SEEDS] for start in range(0, len(seeds), CHUNK_SEEDS)]
    with ProcessPoolExecutor(max_workers=workers) as pool:
        for chunk in pool.map(_run_chunk, [protocol] * len(chunks), chunks):
            yield from chunk


def run_seeds(
    protocol: str, seeds: Sequence[int], workers: int = 2, progress: Callable[[RunResult], None] | None = None
) -> Summary:
    """All runs of a batch, summed up. `progress` is told of each as it comes in, in the order of the seeds."""
    expected = (*EXPECTED_MARKS, *find_protocol(protocol).expected_marks)
    marks = dict.fromkeys(expected, 0)
    failures: list[RunResult] = []
    runs = events = 0
    for result in results(protocol, seeds, workers):
        runs += 1
        events += result.events
        for name, amount in result.marks.items():
            marks[name] = marks.get(name, 0) + amount
        if not result.ok:
            failures.append(result)
        if progress is not None:
            progress(result)
    missed = tuple(name for name in expected if not marks[name]) if runs >= BATCH_SEEDS else ()
    return Summary(protocol, runs, events, tuple(failures), marks, missed)
