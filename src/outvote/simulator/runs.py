"""One run of the simulator, by its seed or its plan, and what came of it. Batches are in campaigns/running.py."""

from __future__ import annotations

from typing import Final, NamedTuple

from outvote.observe.chronicle import Chronicle
from outvote.protocols.catalogue import protocol as find_protocol
from outvote.simulator.checkers.violation import Violation
from outvote.simulator.plan import Plan
from outvote.simulator.swarm import draw
from outvote.simulator.world import World

# Whatever the protocol: a batch of BATCH_SEEDS runs without one of these has not tested what it claims to. Most are in
# every third run, the rarest in one of fourteen: a hundred without it are no bad luck.
EXPECTED_MARKS: Final = (
    "crashes", "fault: pause", "core with others down", "core with others cut",
    "messages lost", "messages doubled", "frames replayed", "bandwidth: frames waited",
    "links cut", "links cut one way", "links clogged", "clogged frames let go",
    "connections reset", "connections reset mid-frame", "frames lost in resets",
    "torn tails", "disk: unsynced bytes lost or torn", "disk: full", "disk: sync failed", "disk: read error",
    "disk: state rotted", "disk: older state used", "disk: log rotted", "disk: write misdirected", "disk: rot found",
    "disk: stale one restored", "disk: lost and replaced", "stopped by its disk", "refused to start on rot",
    "fault: set-wall", "fault: leap", "fault: freeze", "real seals",
    "evidence found", "lies dropped", "stable checkpoints", "states fetched", "requests ordered twice",
)
# Of them, what nobody is and no disk does where one liar breaks a protocol.
LIARS_MARKS: Final = (
    "lies dropped", "disk: log rotted", "disk: write misdirected", "disk: rot found", "disk: stale one restored",
    "disk: lost and replaced", "refused to start on rot",
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
    chronicle: Chronicle | None = None  # if it was asked for
    delivered: int = 0  # messages between replicas
    view: int = 0  # the highest in which an honest replica stood at the end


def run_seed(protocol: str, seed: int, keep_trace: bool = False, chronicle: bool = False) -> RunResult:
    """The run that this seed stands for. Raises Mistake if there is no such protocol."""
    return run_plan(protocol, draw(seed, protocol), keep_trace, chronicle)


def run_plan(protocol: str, plan: Plan, keep_trace: bool = False, chronicle: bool = False) -> RunResult:
    """One run of a given plan; whatever it raises besides a Violation is a bug too, and reported like one."""
    world = World(plan, find_protocol(protocol), keep_trace, chronicle=chronicle)
    violation = ""
    try:
        world.run()
    except Violation as error:
        violation = str(error)
    except Exception as error:
        violation = f"exception: {type(error).__name__}: {error}"
    if world.chronicler is not None and violation:
        world.chronicler.violation(violation)
    for counts in (world.network.counts, *(replica.disk.counts for replica in world.replicas)):
        for name, amount in counts.items():
            world.mark(name, amount)
    return RunResult(
        plan.seed, not violation, violation, world.events, world.trace_digest(), dict(sorted(world.marks.items())),
        plan.describe(), tuple(world.trace.lines), world.chronicler.chronicle if world.chronicler else None,
        world.delivered, max((one.core.standing().view for one in world.scene.turns()), default=0),
    )
