"""The simulator's chronicles: they change nothing, and what they tell is what happened."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from pictures import view_change

from outvote.cli.main import run_command
from outvote.observe.chronicle import Chronicle, Event, EventKind
from outvote.protocols.catalogue import protocol
from outvote.simulator.plan import Plan
from outvote.simulator.runs import run_plan
from outvote.simulator.swarm import draw
from outvote.simulator.world import World
from outvote.types import MILLISECOND, NEVER, SECOND


def told(chronicle: Chronicle, kind: EventKind) -> list[Event]:
    return [event for event in chronicle.events if event.kind is kind]


@pytest.mark.parametrize("seed", [0, 1, 5, 7])
def test_a_run_is_the_same_with_and_without(seed: int) -> None:
    plan = draw(seed).but(operations_each=5)
    without = run_plan("pbft", plan)
    watched = run_plan("pbft", plan, chronicle=True)
    assert (without.digest, without.events, without.marks) == (watched.digest, watched.events, watched.marks)
    assert without.chronicle is None
    assert watched.chronicle is not None
    counts = Counter(event.kind for event in watched.chronicle.events)
    marks = watched.marks
    assert counts[EventKind.CRASHED] == marks.get("crashes", 0)
    assert counts[EventKind.LIE_NOTICED] == marks.get("lies dropped", 0)
    assert counts[EventKind.EVIDENCE] == marks.get("evidence found", 0)
    assert counts[EventKind.STABLE] == marks.get("stable checkpoints", 0)
    on_the_way = ("lost by the network", "the link is cut")
    lost = [event for event in told(watched.chronicle, EventKind.LOST) if event.text in on_the_way]
    assert len(lost) == marks.get("messages lost", 0)


def test_twins_and_lying_clients_have_lanes() -> None:
    plan = Plan(
        n=4, clients=1, operations_each=3, liars=((3, ("equivocate",)),), twins=(3,), false_clients=(("two-bodies",),),
        faults_end=SECOND,
    )
    result = run_plan("pbft", plan, chronicle=True)
    assert result.ok
    assert result.chronicle is not None
    names = [lane.name for lane in result.chronicle.lanes]
    assert names == ["client 0", "client 1", "replica 0", "replica 1", "replica 2", "replica 3", "replica 3'"]
    assert [lane.is_liar for lane in result.chronicle.lanes] == [False, True, False, False, False, True, True]
    assert run_plan("pbft", plan).digest == result.digest


def equivocation(sins: tuple[str, ...]) -> Chronicle:
    plan = Plan(n=4, seed=6, clients=1, liars=((0, sins),), faults_end=NEVER, deadline=NEVER)
    world = World(plan, protocol("pbft"), chronicle=True)
    world.start()
    world.call(0, [("put", ("a", "1"))])
    world.run_until(20 * MILLISECOND)
    assert world.chronicler is not None
    return world.chronicler.chronicle


def test_what_a_liar_says_is_a_lie_only_where_honesty_would_speak_otherwise() -> None:
    chronicle = equivocation(("equivocate",))
    sent = told(chronicle, EventKind.SENT)
    liar = 1  # the client is lane 0
    assert {event.lane for event in sent if event.is_lie} == {liar}
    proposals = [event for event in sent if event.name == "PrePrepare"]
    texts = {event.text for event in proposals if not event.is_lie}
    assert len(texts) == 1, "the honest proposal is one"
    assert any(event.is_lie and event.text not in texts for event in proposals)
    # Told at once, and in the same words as by an honest replica.
    assert not any(event.is_lie for event in sent if event.name == "Status")


def test_silence_of_a_liar_is_told() -> None:
    chronicle = equivocation(("silent",))
    assert not [event for event in told(chronicle, EventKind.SENT) if event.lane == 1]
    withheld = told(chronicle, EventKind.WITHHELD)
    assert {event.name for event in withheld} >= {"PrePrepare", "Status"}
    assert {event.peer for event in withheld if event.name == "PrePrepare"} == {2, 3, 4}


def test_a_view_change_is_told() -> None:
    chronicle = view_change()
    lane = {party.name: index for index, party in enumerate(chronicle.lanes)}
    left, entered = told(chronicle, EventKind.VIEW_LEFT), told(chronicle, EventKind.VIEW_ENTERED)
    backups = {lane[f"replica {replica}"] for replica in (1, 2, 3)}
    assert {event.lane for event in left if event.view == 1} == backups
    assert {event.lane for event in entered if event.view == 1} == backups | {lane["replica 0"]}
    timers = {(event.at, event.lane) for event in told(chronicle, EventKind.TIMER)}
    assert {(event.at, event.lane) for event in left} <= timers
    (call,) = told(chronicle, EventKind.CALLED)
    (answer,) = told(chronicle, EventKind.ANSWERED)
    assert (call.text, answer.text) == ("#1 put a 1", "#1 put a 1 = 1")
    assert [event.text for event in told(chronicle, EventKind.STARTED)][-1] == "starts again"
    assert {event.text for event in told(chronicle, EventKind.LOST)} == {"the link is cut", "nobody is there"}
    assert {event.position for event in told(chronicle, EventKind.DELIVERED)} == {1}


def test_a_broken_run_ends_with_its_violation() -> None:
    result = run_plan("pbft", draw(1).but(deadline=0), chronicle=True)
    assert not result.ok
    assert result.chronicle is not None
    last = result.chronicle.events[-1]
    assert last.kind is EventKind.VIOLATION
    assert last.text.startswith("liveness")


def test_replay_writes_pages_and_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, beginning in (("run.html", "<!doctype html>"), ("run.svg", "<svg ")):
        path = tmp_path / name
        assert run_command(["replay", "7", "--diagram", str(path), "--until", "0.3s", "--hide", "Status"]) == 0
        shown = capsys.readouterr().out
        assert f"diagram  {path}: " in shown
        assert "0 ms to 300 ms" in shown
        assert "<- 0" not in shown, "the trace is printed if --tail asks for it"
        assert path.read_text(encoding="utf-8").startswith(beginning)
    assert run_command(["replay", "7", "--diagram", str(tmp_path / "run.svg"), "--tail", "2"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5 + 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--diagram", "run.png"], "must end in .html"),
        (["--diagram", "missing/run.html"], "cannot be written"),
        (["--from", "1s"], "give --diagram FILE too"),
        (["--diagram", "run.svg", "--from", "soon"], "write 1.2s or 800ms"),
        (["--diagram", "run.svg", "--from", "2s", "--until", "1500ms"], "is before --from"),
        (["--diagram", "run.svg", "--from", "900s"], "behind the end of the run"),
        (["--diagram", "run.svg", "--hide", "Gossip"], "no such messages"),
    ],
)
def test_what_cannot_be_drawn_is_a_mistake(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(["replay", "7", *options]) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.out == ""
    assert list(tmp_path.iterdir()) == []
