"""The tests are tested: every rule that can be turned off is missed by the simulator or by a script.

A rule that nothing misses is either untested or not needed; both are worth knowing. How many seeds each bug took, and
which check killed it, is surveyed by survey_planted_bugs.py and told in docs/kill_matrix.md.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from planted.bug import PlantedBug
from planted.catalogue import EQUIVALENT, NOT_YET, SCRIPTS, SWARM
from planted.turned_off import broken_by
from survey_planted_bugs import BUDGET_RUNS, DOCUMENT, document, read_survey

import outvote
from outvote.simulator.runs import run_seed

SURVEY = read_survey()
# The rest of the test plan's list belongs to other protocols.
LISTED_FOR_PBFT = frozenset(range(1, 26)) | frozenset(range(76, 81))


@pytest.mark.parametrize("bug", SWARM, ids=lambda bug: bug.name)
def test_the_swarm_finds_it(bug: PlantedBug) -> None:
    """Within its budget, from where the survey says that it is not far; and the same seed holds without the bug."""
    start = SURVEY[bug.name].start if bug.name in SURVEY else 0
    for seed in range(start, start + BUDGET_RUNS):
        with pytest.MonkeyPatch.context() as patch:
            bug.plant(patch)
            killed = not run_seed("pbft", seed).ok
        if killed:
            assert broken_by("pbft", seed) == ""
            return
    pytest.fail(f"{BUDGET_RUNS} runs from {start} on held with a bug planted")


@pytest.mark.parametrize("bug", SCRIPTS, ids=lambda bug: bug.name)
def test_a_script_finds_it(bug: PlantedBug) -> None:
    """The script holds as things are, and fails once the bug is planted: by an assertion, or a broken invariant."""
    assert bug.script is not None
    bug.script()
    with pytest.MonkeyPatch.context() as patch:
        bug.plant(patch)
        with pytest.raises(BaseException):  # noqa: B017 - pytest.fail, an assertion, a Violation, the bug's own
            bug.script()


# Without checkers: the reference execution finds the disorder itself and ends a run before the hash seed shows.
SET_ORDER = """
from outvote.machines.executor import Executor
from outvote.protocols.catalogue import protocol
from outvote.simulator.swarm import draw
from outvote.simulator.world import World
import msgspec
run = Executor.run

def in_set_order(executor, delivery):
    requests = tuple({(one.operations, one): one for one in delivery.requests}[key]
                     for key in {(one.operations, one) for one in delivery.requests})
    return run(executor, msgspec.structs.replace(delivery, requests=requests))

Executor.run = in_set_order
for seed in range(12):
    world = World(draw(seed), protocol("pbft"), checkers=())
    world.run()
    print(world.trace_digest())
"""


def test_different_hash_seeds_find_a_batch_that_is_executed_in_the_order_of_a_set() -> None:
    told = set()
    for hash_seed in ("1", "2", "3"):
        environment = {
            **os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(outvote.__file__).parent.parent)
        }
        ran = subprocess.run(
            [sys.executable, "-c", SET_ORDER], env=environment, capture_output=True, text=True, check=True
        )
        told.add(ran.stdout)
    assert len(told) > 1


def test_the_whole_list_is_accounted_for() -> None:
    planted = {bug.listed for bug in (*SWARM, *SCRIPTS) if bug.listed}
    assert planted | set(NOT_YET) == LISTED_FOR_PBFT
    assert not planted & set(NOT_YET)
    assert len(EQUIVALENT) == 2
    names = [bug.name for bug in SWARM]
    assert len(set(names)) == len(names)


def test_the_kill_matrix_is_what_the_survey_says() -> None:
    assert {bug.name for bug in SWARM} == set(SURVEY), "run make kill-matrix"
    assert DOCUMENT.read_text() == document(SURVEY), "run make kill-matrix"
