"""Each fault of a disk really happens, is survived, and never takes a durable record away unnoticed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from outvote.errors import BrokenStorage, DiskFull, Rot
from outvote.protocols.catalogue import protocol
from outvote.simulator.checkers.violation import Violation
from outvote.simulator.disk import SimulatedDisk
from outvote.simulator.plan import Fault, Plan
from outvote.simulator.runs import run_plan
from outvote.simulator.world import World
from outvote.storage import frames
from outvote.storage.contract import Recovered
from outvote.types import MILLISECOND, SECOND, Nanos

PBFT = protocol("pbft")


class Bench:
    """A disk, and the time in which it works."""

    def __init__(self, seed: int, sync_max: Nanos = 10) -> None:
        self.due: list[tuple[Nanos, int, Callable[[], None]]] = []
        self.now: Nanos = 0
        self._count = 0
        self.rng = Random(seed)
        self.disk = SimulatedDisk(0, self.rng, self.after, sync_max)
        self.disk.recover()
        self.written: list[bytes] = []
        self.promised = 0  # so many of them, told to be durable

    def after(self, delay: Nanos, action: Callable[[], None]) -> None:
        self._count += 1
        self.due.append((self.now + delay, self._count, action))

    def run(self, steps: int) -> None:
        while self.due and steps:
            self.due.sort()
            self.now, _, action = self.due.pop(0)
            action()
            steps -= 1

    def write(self, count: int) -> list[int]:
        """Records of some hundred bytes; returns the ticket of each."""
        tickets = []
        for _ in range(count):
            body = len(self.written).to_bytes(4, "big") * self.rng.randrange(1, 300)
            self.written.append(body)
            tickets.append(self.disk.append([body], []))
        return tickets

    def settle(self) -> None:
        self.run(1000)
        assert self.disk.settled

    def restart(self) -> Recovered:
        self.disk.crash()
        self.due.clear()
        return self.disk.recover()


def test_a_crash_loses_what_was_not_synced_and_nothing_else() -> None:
    seen: dict[str, int] = {}
    for seed in range(300):
        bench = Bench(seed)
        for _ in range(3):
            tickets = bench.write(bench.rng.randrange(1, 8))
            bench.run(bench.rng.randrange(4))
            durable = len(bench.written) - len(tickets) + sum(1 for one in tickets if one <= bench.disk.durable)
            back = bench.restart().records
            assert back == bench.written[: len(back)], "what comes back is what was written, in order"
            assert len(back) >= durable
            bench.written = back
        for name, amount in bench.disk.counts.items():
            seen[name] = seen.get(name, 0) + amount
    assert seen["torn tails"] > 100
    assert seen["disk: unsynced bytes lost or torn"] > 200


def keep_some(bench: Bench, position: int) -> None:
    """A checkpoint, with two records as the head of the new log."""
    head = [b"head %d" % position, b"more"]
    bench.disk.keep(position, bytes(32), b"state %d" % position, head)
    bench.written = list(head)


def test_a_crash_while_a_checkpoint_is_stored_leaves_the_old_one_or_the_new_one() -> None:
    outcomes = set()
    for seed in range(300):
        bench = Bench(seed)
        bench.write(3)
        keep_some(bench, 2)
        bench.write(2)
        bench.settle()
        before = list(bench.written)
        keep_some(bench, 4)
        bench.write(1)
        bench.run(bench.rng.randrange(6))
        back = bench.restart()
        outcomes.add(back.position)
        if back.position == 2:
            assert back.records[: len(before)] == before, "the older generation is whole"
        else:
            assert back.snapshot == b"state 4"
            assert back.records[:2] == bench.written[:2], "a snapshot appears only behind its generation's head"
        assert "disk: rot found" not in bench.disk.counts
    assert outcomes == {2, 4}


@pytest.mark.parametrize("sector", [False, True])
def test_rot_is_found_and_nothing_is_cut_off(sector: bool) -> None:
    found = 0
    for seed in range(200):
        bench = Bench(seed)
        for _ in range(10):
            bench.write(1)
            bench.settle()
        assert bench.disk.rot_log(bench.rng, sector)
        try:
            back = bench.restart().records
        except Rot:
            found += 1
            with pytest.raises(Rot):
                bench.disk.recover()
        else:
            # The very last batch, and a mark that lagged: storage/frames.py says what no format can tell.
            assert back == bench.written[: len(back)]
            assert bench.disk.counts["disk: rot taken for a torn tail"] == 1
    assert found > 180


def test_a_recovery_that_took_rot_for_a_torn_tail_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = frames.scan

    def careless(*arguments: object) -> frames.ScanResult:
        result = genuine(*arguments)  # type: ignore[arg-type]
        return result._replace(rot=None, torn=result.rot)

    monkeypatch.setattr(frames, "scan", careless)
    bench = Bench(7)
    bench.write(10)
    bench.settle()
    assert bench.disk.rot_log(bench.rng, True)
    with pytest.raises(Violation, match="without a word"):
        bench.restart()


def test_a_rotten_state_gives_way_to_an_older_one_and_to_none() -> None:
    bench = Bench(1)
    for position in (2, 4, 6):
        keep_some(bench, position)
        bench.write(2)
        bench.settle()
    assert bench.disk.rot_states(bench.rng, 1)
    back = bench.restart()
    assert (back.position, back.snapshot) == (4, b"state 4")
    assert back.records[-2:] == bench.written[-2:], "the older log and the newer one follow each other"
    assert bench.disk.rot_states(bench.rng, 2)
    back = bench.restart()
    assert (back.position, back.snapshot) == (0, b"")
    assert back.records[-2:] == bench.written[-2:], "all records are there, only the state must come from others"
    assert bench.disk.counts["disk: no state readable"] == 1


def test_a_misdirected_write_is_found_at_the_next_start() -> None:
    bench = Bench(3)
    bench.write(5)
    bench.settle()
    bench.disk.misdirects_next_write = True
    bench.write(3)
    bench.settle()
    with pytest.raises(Rot):
        bench.restart()


def test_a_full_disk_stops_the_replica_until_it_is_freed() -> None:
    bench = Bench(4)
    bench.write(3)
    bench.settle()
    bench.disk.full = True
    with pytest.raises(DiskFull):
        bench.disk.append([b"x" * 600], [])
    with pytest.raises(DiskFull):
        bench.disk.check()
    with pytest.raises(DiskFull):
        bench.restart()
    bench.disk.full = False
    assert bench.restart().records == bench.written


def test_a_failed_sync_is_final_until_a_restart() -> None:
    bench = Bench(5)
    bench.write(2)
    bench.settle()
    bench.disk.fails_next_sync = True
    (ticket,) = bench.write(1)
    bench.run(1000)
    assert bench.disk.durable < ticket, "nothing is promised on a sync that failed"
    for attempt in (bench.disk.check, lambda: bench.write(1)):
        with pytest.raises(BrokenStorage):
            attempt()
    assert bench.restart().records[:2] == bench.written[:2]


def test_a_read_error_passes_and_a_stale_disk_is_older() -> None:
    bench = Bench(6)
    bench.write(2)
    bench.settle()
    assert not bench.disk.restore_saved()
    bench.disk.save()
    bench.write(2)
    bench.settle()
    bench.disk.unreadable = 1
    with pytest.raises(BrokenStorage, match="Input/output"):
        bench.restart()
    assert bench.restart().records == bench.written
    assert bench.disk.restore_saved()
    assert bench.restart().records == bench.written[:2]
    bench.disk.replace()
    assert bench.restart().records == []


# ---------------------------------------------------------------------- in whole runs

BUSY = Plan(
    n=4, clients=2, operations_each=30, outstanding=2, pause_max=100 * MILLISECOND, keys=3,
    delay_mean=3 * MILLISECOND, sync_max=5 * MILLISECOND, faults_end=3 * SECOND, deadline=300 * SECOND,
    parameters={"checkpoint_interval": 4, "window": 8, "batch_requests_max": 1, "view_timeout_ms": 300},
)


def at(milliseconds: int, kind: str, replica: int, other: int = 0) -> Fault:
    return Fault(milliseconds * MILLISECOND, kind, replica, other)


STORIES = {
    "disk: full": (at(300, "disk-full", 1), at(900, "disk-freed", 1)),
    "disk: sync failed": (at(300, "sync-error", 0), at(800, "restart", 0)),
    "disk: read error": (
        at(300, "read-error", 2, 1), at(300, "crash", 2, 1), at(500, "restart", 2), at(900, "restart", 2),
    ),
    "disk: older state used": (at(700, "rot-state", 1), at(701, "crash", 1, 1), at(900, "restart", 1)),
    "disk: no state readable": (at(900, "rot-states", 1), at(901, "crash", 1, 1), at(1200, "restart", 1)),
    "refused to start on rot": (at(600, "rot-sector", 3, 5), at(601, "crash", 3, 1), at(900, "restart", 3)),
    "disk: write misdirected": (at(400, "misdirect", 3), at(700, "crash", 3, 1), at(900, "restart", 3)),
    "disk: lost and replaced": (at(600, "lose", 0),),
    "disk: stale one restored": (at(200, "save", 2), at(900, "stale", 2)),
    "disk: unsynced bytes lost or torn": tuple(
        fault for when in (200, 500, 900) for replica in range(4)
        for fault in (at(when, "crash", replica, 2 + replica), at(when + 100, "restart", replica))
    ),
}


@pytest.mark.parametrize("mark", STORIES)
def test_a_cluster_survives_it(mark: str) -> None:
    marks: dict[str, int] = {}
    for seed in range(5):
        result = run_plan("pbft", BUSY.but(seed=seed, faults=STORIES[mark]))
        assert result.violation == ""
        marks.update({name: marks.get(name, 0) + amount for name, amount in result.marks.items()})
    assert marks.get(mark, 0) > 0


def test_a_rotten_replica_stays_down_until_its_disk_is_replaced_and_then_counts_as_a_liar() -> None:
    rot = STORIES["refused to start on rot"]
    world = World(BUSY.but(faults=rot), PBFT)
    world.run()
    assert world.replicas[3].turn is None
    assert world.faults.spoiled == {3}
    assert 3 not in world.liars, "it says nothing, so it breaks no promise"
    world = World(BUSY.but(faults=(*rot, at(1500, "lose", 3))), PBFT)
    world.run()
    assert world.replicas[3].turn is not None
    assert 3 in world.liars, "it has forgotten its promises"


def test_no_more_disks_are_spoiled_than_replicas_may_fail() -> None:
    faults = tuple(at(500 + 10 * replica, "lose", replica) for replica in range(4))
    world = World(BUSY.but(faults=faults), PBFT)
    world.run()
    assert sorted(one for one in world.liars if one < 4) == [0]
    world = World(BUSY.but(liars=((2, ("silent",)),), faults=faults), PBFT)
    world.run()
    assert sorted(one for one in world.liars if one < 4) == [2]


def test_rot_that_nobody_caused_is_a_violation() -> None:
    world = World(BUSY.but(faults=(at(600, "crash", 1, 1), at(900, "restart", 1))), PBFT)

    def spoil() -> None:
        disk = world.replicas[1].disk
        assert disk.rot_log(Random(1), True)
        disk.hurt = False

    world.after(880 * MILLISECOND, spoil)
    with pytest.raises(Violation, match="nobody hurt the disk"):
        world.run()
