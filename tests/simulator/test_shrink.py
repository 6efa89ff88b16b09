"""A failure is made small enough to read, and a small one fails in the same way as the large one."""

from __future__ import annotations

from pathlib import Path

import pytest
from planted import durability, normal_case, view_changes
from planted.bug import Patch

from outvote.errors import Mistake
from outvote.simulator.failure import Failure, load, save
from outvote.simulator.plan import Fault, Plan
from outvote.simulator.runs import run_plan
from outvote.simulator.shrink import elements, invariant_of, only, shrink
from outvote.simulator.swarm import draw

SMALL = 4  # elements: nobody needs less
BUGS: tuple[tuple[Patch, int], ...] = (  # and where to begin to look: at runs that are quick to shrink
    (normal_case.prepared_with_one_less, 0),
    (durability.left_not_recorded, 0),
    (view_changes.no_status, 9),
    (view_changes.new_view_from_one_less, 0),
)


def violation_of(plan: Plan) -> str:
    return run_plan("pbft", plan).violation


@pytest.mark.parametrize(("plant", "begin"), BUGS, ids=[plant.__name__ for plant, _ in BUGS])
def test_a_failure_shrinks_to_a_fifth_of_its_schedule(
    plant: Patch, begin: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    # Only schedules worth shrinking; a run that fails with three disturbances cannot lose four fifths of them.
    seed = next(
        seed for seed in range(begin, 3000) if len(elements(draw(seed))) > 5 * SMALL and violation_of(draw(seed))
    )
    first = violation_of(draw(seed))
    shrunk = shrink(draw(seed), first, violation_of, runs_max=150)
    assert shrunk.share <= 0.2
    assert shrunk.size_after == len(elements(shrunk.plan))
    assert invariant_of(shrunk.violation) == invariant_of(first)
    assert violation_of(shrunk.plan) == shrunk.violation


def test_what_disturbs_is_counted_and_can_be_taken_away_piece_by_piece() -> None:
    plan = Plan(
        loss=0.1, faults=(Fault(1, "cut", 0, 1), Fault(2, "heal", 0, 1)), liars=((2, ("silent", "omit")),),
        false_clients=(("two-bodies",),), twins=(2,),
    )
    everything = elements(plan)
    assert len(everything) == 7
    assert only(plan, everything) == plan
    for one in everything:
        smaller = only(plan, [other for other in everything if other != one])
        assert elements(smaller) != everything
        assert len(elements(smaller)) == 6
    assert elements(only(plan, [])) == []


def test_a_plan_that_never_fails_again_stays_as_it_was() -> None:
    plan = Plan(loss=0.1, faults=(Fault(1, "cut", 0, 1),))
    shrunk = shrink(plan, "agreement: once", lambda _: "")
    assert shrunk.plan == plan
    assert shrunk.size_after == shrunk.size_before == 2


def test_a_search_without_an_end_is_ended() -> None:
    plan = Plan(clients=3, operations_each=1000, faults=tuple(Fault(at, "cut", 0, 1) for at in range(100)))
    shrunk = shrink(plan, "agreement: x", lambda smaller: "agreement: x" if len(smaller.faults) % 7 else "", 25)
    assert shrunk.runs <= 25


def test_a_failure_is_kept_and_read_again(tmp_path: Path) -> None:
    failure = Failure(
        protocol="pbft", replay="outvote replay 7", violation="agreement: x", step=12, version="0", plan=draw(7),
        shrunk=Plan(seed=7), shrunk_violation="agreement: y",
    )
    save(failure, tmp_path / "deep" / "one.json")
    assert load(tmp_path / "deep" / "one.json") == failure
    assert failure.smallest == Plan(seed=7)


@pytest.mark.parametrize("content", [b"", b"{}", b"[1, 2", b'{"protocol": 3}', b"\xff\xfe"])
def test_a_file_that_is_no_failure_is_refused_in_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(Mistake, match="is no failure that outvote wrote"):
        load(path)
    with pytest.raises(Mistake, match="cannot be read"):
        load(tmp_path / "missing.json")
