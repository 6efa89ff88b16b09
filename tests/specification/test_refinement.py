"""Runs of the real replicas are runs of the specification; a bug in the replicas is no step of it."""

from __future__ import annotations

import pytest
from following import follow
from planted import durability, normal_case, view_changes
from planted.bug import Patch

from outvote.simulator.checkers.violation import Violation
from outvote.simulator.swarm import draw

SEEDS = range(16)
# With room behind the seeds at which they were found: 0 to 5, and 17 for the rarest.
BUDGET_RUNS = 40
STARTS = {"lowest_view_chosen": 280}  # two certificates of one position, of different views and batches: one run in 300

BUGS = (
    normal_case.prepared_with_one_less,
    normal_case.committed_with_one_less,
    normal_case.committed_when_prepared,
    normal_case.prepares_counted_without_digest,
    view_changes.view_change_without_prepared,
    view_changes.prepared_forgotten_in_new_view,
    view_changes.lowest_view_chosen,
    view_changes.old_view_goes_on,
    view_changes.new_view_from_one_less,
    view_changes.proposals_of_new_view_believed,
    durability.prepared_not_recorded,
    durability.left_not_recorded,
)


def test_every_step_of_every_run_is_one_of_the_specification() -> None:
    steps, marks = 0, dict[str, int]()
    for seed in SEEDS:
        taken, seen = follow(draw(seed))
        steps += taken
        for name, amount in seen.items():
            marks[name] = marks.get(name, 0) + amount
    assert steps > 250 * len(SEEDS)
    # Not only the easy part of the model has been walked through.
    for name in ("views entered", "prepared certificates carried over", "crashes", "stable checkpoints"):
        assert marks.get(name, 0) > 0, name


@pytest.mark.parametrize("plant", BUGS, ids=lambda one: str(one.__name__))
def test_a_bug_planted_in_the_replicas_is_no_step_of_the_specification(plant: Patch) -> None:
    start = STARTS.get(plant.__name__, 0)
    for seed in range(start, start + BUDGET_RUNS):
        with pytest.MonkeyPatch.context() as patch:
            plant(patch)
            try:
                follow(draw(seed))
            except Violation as violation:
                if violation.invariant == "refinement":
                    return
    pytest.fail(f"{BUDGET_RUNS} runs are allowed by the specification with a bug planted")
