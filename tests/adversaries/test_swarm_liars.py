"""What seeds draw to lie with: every sin there is, within f, evenly over the replicas."""

from __future__ import annotations

from collections import Counter

from outvote.core import quorums
from outvote.simulator.adversaries.catalogue import names_for
from outvote.simulator.adversaries.client_catalogue import FALSE_CLIENTS
from outvote.simulator.adversaries.sins import parse_sin
from outvote.simulator.runs import run_seed
from outvote.simulator.swarm import draw
from outvote.simulator.swarm_liars import Lies, draw_lies

SEEDS = 2000


def drawn(n: int) -> list[Lies]:
    return [draw_lies("pbft", seed, n) for seed in range(SEEDS)]


def test_at_most_f_lie_whatever_is_drawn() -> None:
    for n in (4, 5, 7, 10):
        for lies in drawn(n):
            assert len(lies.liars) + bool(lies.adaptive) <= quorums.faults(n)
            assert len(dict(lies.liars)) == len(lies.liars)
            assert all(1 <= len(sins) <= 3 for _, sins in lies.liars)


def test_every_sin_is_drawn_some_of_them_aimed_and_timed() -> None:
    sins = [parse_sin(text) for lies in drawn(4) for _, names in lies.liars for text in names]
    assert {sin.name for sin in sins} == set(names_for("pbft"))
    aimed = sum(bool(sin.targets) for sin in sins) / len(sins)
    timed = sum(sin.since > 0 for sin in sins) / len(sins)
    assert 0.1 < aimed < 0.3
    assert 0.1 < timed < 0.3
    assert all(target in range(4) for sin in sins for target in sin.targets)
    assert all(sin.since < sin.until for sin in sins)


def test_every_replica_lies_as_often_as_any_other() -> None:
    """A liar that always leads the first view, or never, would not find half of what there is to find."""
    counts = Counter(replica for lies in drawn(7) for replica, _ in lies.liars)
    mean = sum(counts.values()) / 7
    assert sorted(counts) == list(range(7))
    assert all(0.8 * mean < count < 1.2 * mean for count in counts.values())


def test_a_quarter_has_lying_clients_and_an_eighth_an_adversary_that_chooses() -> None:
    batch = drawn(4)
    clients = [sins for lies in batch for sins in lies.false_clients]
    assert 0.2 < sum(bool(lies.false_clients) for lies in batch) / SEEDS < 0.3
    assert 0.1 < sum(bool(lies.adaptive) for lies in batch) / SEEDS < 0.15
    assert {name for sins in clients for name in sins} == set(FALSE_CLIENTS)
    assert all(1 <= len(sins) <= 2 for sins in clients)
    assert max(len(lies.false_clients) for lies in batch) == 2


def test_a_plan_has_what_was_drawn_for_its_seed() -> None:
    for seed in range(50):
        plan = draw(seed)
        drawn = draw_lies("pbft", seed, plan.n)
        assert plan.false_clients == drawn.false_clients
        if not plan.mover:  # it takes the place of whoever else corrupts replicas
            assert (plan.liars, plan.adaptive) == (drawn.liars, drawn.adaptive)


def test_seeds_with_lying_clients_or_an_adversary_that_chooses_stay_right() -> None:
    chosen = [seed for seed in range(100) if draw(seed).false_clients and draw(seed).n == 4][:4]
    chosen += [seed for seed in range(100) if draw(seed).adaptive and draw(seed).n == 4][:4]
    marks: Counter[str] = Counter()
    for seed in chosen:
        result = run_seed("pbft", seed)
        assert result.violation == ""
        marks.update(result.marks)
    assert sum(count for name, count in marks.items() if name.startswith("client lie: ")) >= 4
    assert marks["corrupted while running"] >= 1
