"""Crash points: the calm run goes through everything, and a crash is exactly where its name says."""

from __future__ import annotations

import pytest

from outvote.cli.simulate import simulate
from outvote.core.contract import Record
from outvote.errors import Mistake
from outvote.host.turn import Turn
from outvote.protocols.catalogue import PBFT, RAFT
from outvote.protocols.pbft import restore
from outvote.protocols.pbft.records import Prepared
from outvote.protocols.pbft.state import State
from outvote.protocols.raft.records import NOBODY, Voted
from outvote.simulator.campaigns import crash_points
from outvote.simulator.campaigns.running import run_case
from outvote.simulator.runs import run_plan
from outvote.simulator.world import World


def test_the_calm_run_goes_through_everything() -> None:
    result = run_plan("pbft", crash_points.calm_plan(PBFT), keep_trace=True)
    assert result.violation == ""
    for mark in ("views entered", "prepared certificates carried over", "states fetched", "stable checkpoints"):
        assert result.marks.get(mark), mark
    answered = {line.split()[3] for line in result.trace if " c0 #" in line}
    assert answered == {"put", "get", "cas", "delete"}


def test_every_boundary_has_every_manner_and_restart() -> None:
    times = crash_points.boundaries("pbft")
    cases = list(crash_points.cases(PBFT))
    assert len(cases) == len(set(cases)) == 6 * sum(map(len, times))
    assert min(map(len, times)) > 50
    assert len(cases) > 2000


@pytest.mark.parametrize("restart", crash_points.RESTARTS)
@pytest.mark.parametrize("manner", crash_points.MANNERS)
def test_the_crash_is_at_the_boundary_and_the_restart_when_it_says(manner: str, restart: str) -> None:
    boundary = 41
    plan = crash_points.plan(PBFT, f"r2:b{boundary}:{manner}:{restart}")
    world = World(plan, PBFT, keep_trace=True)
    world.run()
    at = crash_points.boundaries("pbft")[2][boundary - 1]
    lines = [line.split("ms", 1) for line in world.trace.lines]
    crashes = [float(time) for time, what in lines if what.split() == ["2", "crashes"]]
    starts = [float(time) for time, what in lines if what.split() == ["2", "starts"]]
    assert crashes == [pytest.approx(at / 1e6, abs=0.001)]
    assert starts[1] == pytest.approx((at + crash_points.RESTARTS[restart]) / 1e6, abs=0.001)
    assert world.replicas[2].port_calls[boundary - 1] == at


def test_manners_differ_in_what_is_left() -> None:
    """Somewhere behind an append: kept, the record is there; lost, it is not."""
    kept = lost = 0
    for boundary in range(1, 40):
        kept += "disk: unsynced bytes lost or torn" in run_case("pbft", f"crash:r1:b{boundary}:kept:once").marks
        lost += "disk: unsynced bytes lost or torn" in run_case("pbft", f"crash:r1:b{boundary}:lost:once").marks
    assert kept == 0
    assert lost > 2


@pytest.mark.parametrize("case", list(crash_points.cases(PBFT))[::131])
def test_crashes_here_and_there_break_nothing(case: str) -> None:
    assert run_case("pbft", f"crash:{case}").violation == ""


def test_a_restart_that_forgets_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = restore.restore_slot

    def forgetful(state: State, record: Record) -> None:
        if not isinstance(record, Prepared):
            honest(state, record)

    monkeypatch.setattr(restore, "restore_slot", forgetful)
    cases = (f"crash:r1:b{boundary}:kept:once" for boundary in range(1, 120))
    assert any(run_case("pbft", case).violation for case in cases)


@pytest.mark.parametrize(
    "name", ["", "r0", "r9:b1:torn:once", "r0:b0:torn:once", "r0:b1:burnt:once", "r0:b1:torn:soon"]
)
def test_a_point_that_does_not_exist_is_a_mistake(name: str) -> None:
    with pytest.raises(Mistake):
        crash_points.plan(PBFT, name)


def test_rafts_calm_run_goes_through_everything() -> None:
    result = run_plan("raft", crash_points.calm_plan(RAFT))
    assert result.violation == ""
    for mark in ("terms entered", "logs begun by a state", "states fetched", "stable checkpoints"):
        assert result.marks.get(mark), mark
    assert result.view >= 2, "the leader that is cut off has a successor"
    assert len(list(crash_points.cases(RAFT))) > 2000


@pytest.mark.parametrize("case", list(crash_points.cases(RAFT))[::271])
def test_crashes_here_and_there_do_not_break_raft(case: str) -> None:
    assert run_case("raft", f"crash:{case}").violation == ""


def test_a_vote_that_a_crash_forgets_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Turn._drain

    def forgetful(turn: Turn) -> None:
        records = turn.core.out.records
        records[:] = [Voted(one.term, NOBODY) if isinstance(one, Voted) else one for one in records]
        honest(turn)

    monkeypatch.setattr(Turn, "_drain", forgetful)
    assert "forgotten promise" in run_case("raft", "crash:r1:b7:lost:once").violation


@pytest.mark.parametrize(("campaign", "why"), [("twins", "hold one key"), ("byzzfuzz", "as if their sender had lied")])
def test_campaigns_of_lies_are_refused_for_crash_faults_with_the_reason(campaign: str, why: str) -> None:
    with pytest.raises(Mistake, match=why) as caught:
        simulate("raft", 1, campaign_name=campaign)
    assert "choose swarm, crash-points" in str(caught.value)
