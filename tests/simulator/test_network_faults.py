"""Each fault of a network really happens, is survived, and leaves what other links draw as it was."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from random import Random

import pytest

from outvote.simulator.link import Link, Rates
from outvote.simulator.network import SimulatedNetwork
from outvote.simulator.plan import Fault, Plan
from outvote.simulator.runs import run_plan
from outvote.types import FIRST_CLIENT, MILLISECOND, SECOND, Nanos


class Wire:
    """One link, the time in which it works, and what came out of it: (when, what)."""

    def __init__(self, rates: Rates, seed: int = 1) -> None:
        self.now: Nanos = 0
        self.heard: list[tuple[Nanos, int]] = []
        self.counts: dict[str, int] = {}
        self._due: list[tuple[Nanos, int, Callable[[], None]]] = []
        self._scheduled = 0
        self.link = Link(rates, Random(seed), lambda: self.now, self.after, self.counts)

    def after(self, delay: Nanos, action: Callable[[], None]) -> None:
        self._scheduled += 1
        heapq.heappush(self._due, (self.now + delay, self._scheduled, action))

    def send(self, count: int, every: Nanos = 0, size: int = 100) -> None:
        for number in range(count):
            self.run(self.now + every)
            self.link.carry(lambda number=number: self.heard.append((self.now, number)), size)  # type: ignore[misc]

    def run(self, until: Nanos) -> None:
        while self._due and self._due[0][0] <= until:
            self.now, _, action = heapq.heappop(self._due)
            action()
        self.now = max(self.now, until)

    @property
    def numbers(self) -> list[int]:
        return [number for _, number in self.heard]


def test_loss_and_duplication_come_at_their_rates() -> None:
    wire = Wire(Rates(delay_min=5, loss=0.3, duplication=0.5))
    wire.send(10_000)
    wire.run(SECOND)
    assert 0.28 < wire.counts["messages lost"] / 10_000 < 0.32
    assert 0.47 < wire.counts["messages doubled"] / 7_000 < 0.53
    assert len(wire.heard) == 10_000 - wire.counts["messages lost"] + wire.counts["messages doubled"]


def test_delays_are_exponential_or_heavy_tailed_and_reorder_unless_in_order() -> None:
    mean = 10 * MILLISECOND
    for heavy in (False, True):
        wire = Wire(Rates(delay_mean=mean, heavy_tail=heavy))
        wire.send(20_000)
        wire.run(20 * SECOND)
        delays = sorted(when for when, _ in wire.heard)
        assert 0.85 * mean < sum(delays) / len(delays) < 1.15 * mean
        longest = delays[-1] / mean
        assert (longest > 100) == heavy, "of exponential ones none in 20,000 takes 100 times the mean"
        assert wire.numbers != sorted(wire.numbers)
    wire = Wire(Rates(delay_mean=mean, in_order=True))
    wire.send(1000, every=MILLISECOND)
    wire.run(60 * SECOND)
    assert wire.numbers == list(range(1000))


def test_older_frames_of_the_link_come_again() -> None:
    wire = Wire(Rates(delay_min=5, replay=0.2))
    wire.send(1000, every=10)
    wire.run(SECOND)
    assert 150 < wire.counts["frames replayed"] < 250
    assert sorted(set(wire.numbers)) == list(range(1000))
    assert len(wire.heard) == 1000 + wire.counts["frames replayed"]


def test_bandwidth_makes_frames_wait_and_full_queues_drop_them() -> None:
    wire = Wire(Rates(bytes_per_second=10_000))
    wire.send(300, size=100)
    wire.run(60 * SECOND)
    assert wire.heard[49] == (SECOND // 2, 49), "100 bytes take a hundredth of a second"
    assert 195 <= len(wire.heard) <= 205, "more than two seconds of backlog are not kept"
    assert wire.counts["bandwidth: frames dropped"] == 300 - len(wire.heard)
    wire.send(1)
    wire.run(120 * SECOND)
    assert wire.numbers[-1] == 0, "later it is free again"


def test_a_clogged_link_delivers_nothing_and_then_everything() -> None:
    wire = Wire(Rates(delay_min=5))
    wire.link.clog()
    wire.link.clog()
    wire.send(10)
    wire.run(SECOND)
    wire.link.unclog()
    wire.run(2 * SECOND)
    assert wire.heard == []
    wire.link.unclog()
    wire.run(2 * SECOND)
    assert wire.heard == [(2 * SECOND, number) for number in range(10)]


def test_a_reset_loses_what_is_in_flight_and_one_mid_frame_the_rest_of_it() -> None:
    for spare, arrive in ((0, 0), (50, 6)):
        wire = Wire(Rates(delay_min=100, in_order=True))
        wire.send(10, every=10)  # sent at 10, 20 ... 100: the first arrives at 110
        wire.link.reset(spare + wire.now - 90 if spare else 0)
        wire.send(3, every=10)
        wire.run(SECOND)
        assert wire.numbers == [*range(arrive), 0, 1, 2]
        assert wire.counts["frames lost in resets"] == 10 - arrive


def test_cuts_are_counted_and_hold_one_direction() -> None:
    network = SimulatedNetwork(Plan(delay_min=0), 1, lambda: 0, lambda _delay, action: action())
    heard: list[str] = []
    network.cut(0, 1)
    network.cut(0, 1)
    network.heal(0, 1)
    network.carry(0, 1, lambda: heard.append("0 to 1"))
    network.carry(1, 0, lambda: heard.append("1 to 0"))
    assert heard == ["1 to 0"]
    assert network.lost == 1
    network.heal(0, 1)
    network.carry(0, 1, lambda: heard.append("0 to 1"))
    assert heard == ["1 to 0", "0 to 1"]


def test_healing_a_core_leaves_the_links_of_others_as_bad_as_they_are() -> None:
    network = SimulatedNetwork(Plan(delay_min=0, loss=1.0), 1, lambda: 0, lambda _delay, action: action())
    network.heal_among([0, 1, 2])
    heard: list[tuple[int, int]] = []
    for a, b in ((0, 1), (2, 0), (0, 3), (3, 1), (FIRST_CLIENT, 2), (0, FIRST_CLIENT), (3, FIRST_CLIENT)):
        network.carry(a, b, lambda a=a, b=b: heard.append((a, b)))  # type: ignore[misc]
    assert heard == [(0, 1), (2, 0), (FIRST_CLIENT, 2), (0, FIRST_CLIENT)]


def arrivals(plan: Plan, ends: tuple[int, int], others: int) -> list[Nanos]:
    """When a hundred frames of one link arrive, with so many on other links in between."""
    due: list[tuple[Nanos, Callable[[], None]]] = []
    network = SimulatedNetwork(plan, 5, lambda: 0, lambda delay, action: due.append((delay, action)))
    mine: list[Nanos] = []
    for _ in range(100):
        network.carry(*ends, lambda: None)
        mine += [delay for delay, _ in due]
        due.clear()
        for other in range(others):
            network.carry(3, other, lambda: None)
        due.clear()
    return mine


def test_a_link_draws_for_itself_alone() -> None:
    plan = Plan(delay_mean=10 * MILLISECOND, uneven=True, duplication=0.3, loss=0.1)
    assert arrivals(plan, (0, 1), 0) == arrivals(plan, (0, 1), 3)
    assert arrivals(plan, (0, 1), 0) != arrivals(plan, (1, 0), 0)


def test_without_one_fault_the_other_draws_stay() -> None:
    plan = Plan(delay_mean=10 * MILLISECOND, loss=0.3)
    lossy, whole = arrivals(plan, (0, 1), 0), arrivals(plan.but(loss=0.0), (0, 1), 0)
    assert len(lossy) < len(whole) == 100
    assert set(lossy) < set(whole), "frames that come in both runs take equally long"


BUSY = Plan(
    n=4, clients=2, operations_each=30, outstanding=2, pause_max=100 * MILLISECOND, keys=3, delay_mean=3 * MILLISECOND,
    sync_max=2 * MILLISECOND, faults_end=3 * SECOND, deadline=300 * SECOND,
    parameters={"checkpoint_interval": 4, "window": 8, "batch_requests_max": 1, "view_timeout_ms": 300},
)


def during(start: int, stop: int, on: str, off: str, pairs: list[tuple[int, int]]) -> tuple[Fault, ...]:
    return tuple(Fault(start * MILLISECOND, on, a, b) for a, b in pairs) + tuple(
        Fault(stop * MILLISECOND, off, a, b) for a, b in pairs
    )


OUT_OF_0 = [(0, 1), (0, 2), (0, 3)]
INTO_0 = [(1, 0), (2, 0), (3, 0)]
RUNS = {
    "messages lost": BUSY.but(loss=0.3, uneven=True),
    "messages doubled": BUSY.but(duplication=0.5),
    "frames replayed": BUSY.but(replay=0.5),
    "bandwidth: frames waited": BUSY.but(bandwidth=20_000),
    "links cut one way": BUSY.but(faults=during(200, 1500, "cut", "heal", OUT_OF_0)),
    "links cut": BUSY.but(faults=during(200, 1500, "cut", "heal", [*OUT_OF_0, *INTO_0])),
    "clogged frames let go": BUSY.but(faults=during(200, 1500, "clog", "unclog", [*OUT_OF_0, (1, 2)])),
    "connections reset": BUSY.but(
        faults=tuple(Fault(at * 50 * MILLISECOND, "reset", *link) for at in range(20) for link in OUT_OF_0)
    ),
    "connections reset mid-frame": BUSY.but(
        faults=tuple(Fault(at * 50 * MILLISECOND, "reset-mid-frame", *link) for at in range(20) for link in INTO_0)
    ),
}


@pytest.mark.parametrize("mark", RUNS)
def test_a_cluster_survives_it(mark: str) -> None:
    happened = 0
    for seed in range(4):
        result = run_plan("pbft", RUNS[mark].but(seed=seed))
        assert result.violation == ""
        happened += result.marks.get(mark, 0)
    assert happened > 0


def test_a_partition_both_ways_is_not_counted_as_one_way() -> None:
    assert "links cut one way" not in run_plan("pbft", RUNS["links cut"]).marks
