"""The fault schedules that seeds draw, a function a class of faults.

What spoils a disk for good is drawn for replicas that are not liars and only as many as may still fail; faults.py makes
sure of it once more while the run goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from outvote.simulator.plan import Fault
from outvote.types import MILLISECOND, SECOND, Nanos, ReplicaId

# Those that often come to nothing are more of them: a copy may be as new as the disk, a write may never come.
STORIES = (
    "rot-bit", "rot-sector", "rot-sector",
    "misdirect", "misdirect", "misdirect", "rot-states", "stale", "stale", "stale", "lose",
)
HARMLESS_STORIES = ("rot-states",)  # of which no promise is forgotten


def crashes(rng: Random, n: int, end: Nanos) -> list[Fault]:
    """Single ones; now and then the power goes: everybody crashes, and what was acknowledged must still be there."""
    faults = []
    for _ in range(rng.choice((3, 8, 30))):
        at = rng.randrange(end)
        down = rng.choice((1, 50, 500, 2500)) * MILLISECOND
        crashed = range(n) if rng.random() < 0.1 else (rng.randrange(n),)
        for replica in crashed:
            # "other" counts port calls: the crash falls between any two steps of the drain that comes next.
            # A log that has just begun anew behind a checkpoint is the likeliest to lack something.
            kind = rng.choice(("crash", "crash", "crash-kept"))
            faults.append(Fault(at, kind, replica, rng.randrange(1, 24)))
            faults.append(Fault(min(at + down, end), "restart", replica, 0))
    return faults


def pauses(rng: Random, n: int, end: Nanos, timeout: Nanos) -> list[Fault]:
    """Longer than a view timeout, mostly."""
    faults = []
    for _ in range(rng.randrange(1, 7)):
        at, replica = rng.randrange(end), rng.randrange(n)
        length = timeout * rng.choice((1, 3, 5, 10)) // 2
        faults += [Fault(at, "pause", replica, 0), Fault(min(end, at + length), "resume", replica, 0)]
    return faults


def cuts(rng: Random, n: int, end: Nanos) -> list[Fault]:
    """Partitions: a side of any size, or one replica alone; both ways, one way, or a few links."""
    faults = []
    for _ in range(rng.randrange(1, 5)):
        start = rng.randrange(end)
        stop = min(end, start + rng.randrange(100, 3000) * MILLISECOND)
        side = frozenset(rng.sample(range(n), rng.choice((1, rng.randrange(1, n)))))
        form = rng.choice(("both ways", "outwards", "inwards", "links"))
        if form == "links":
            pairs = [(rng.randrange(n), rng.randrange(n)) for _ in range(rng.randrange(1, n + 1))]
        else:
            pairs = [
                (a, b) for a in range(n) for b in range(n)
                if (a in side) != (b in side) and (form == "both ways" or (a in side) == (form == "outwards"))
            ]
        faults += [Fault(start, "cut", a, b) for a, b in pairs]
        faults += [Fault(stop, "heal", a, b) for a, b in pairs]
    return faults


def chase(rng: Random, n: int, end: Nanos, timeout: Nanos) -> list[Fault]:
    """One replica after the other is cut off, in the order in which they lead, for about as long as it takes to depose
    it: so views change again and again with work under way."""
    faults = []
    at = rng.randrange(end // 3)
    replica = rng.choice((0, 0, rng.randrange(n)))
    while at < end:
        length = timeout * rng.randrange(10, 40) // 10
        others = [other for other in range(n) if other != replica]
        spared = rng.choice(([], [], rng.sample(others, 1)))
        stop = min(end, at + length)
        for other in others:
            if other not in spared:
                faults += [Fault(at, "cut", replica, other), Fault(stop, "heal", replica, other)]
                faults += [Fault(at, "cut", other, replica), Fault(stop, "heal", other, replica)]
        at += length + timeout * rng.randrange(0, 20) // 10
        replica = (replica + 1) % n
    return faults


def holds(rng: Random, n: int, end: Nanos) -> list[Fault]:
    """What one replica after the other says is held back, as long as an agreement takes or longer: the scheduler of
    an asynchronous network, who loses nothing (see scheduler.py)."""
    faults = []
    at = rng.randrange(end // 4)
    length = rng.choice((20, 200, 1000)) * MILLISECOND
    while at < end:
        stop = min(end, at + length * rng.randrange(5, 20) // 10)
        replica = rng.randrange(n)
        for other in range(n):
            if other != replica:
                faults += [Fault(at, "clog", replica, other), Fault(stop, "unclog", replica, other)]
        at = stop
    return faults


def clogs(rng: Random, n: int, end: Nanos) -> list[Fault]:
    """Single links, or a swizzle: the links of some replicas one after the other, and back in another order."""
    faults = []
    for _ in range(rng.randrange(1, 5)):
        start = rng.randrange(end)
        if rng.random() < 0.5:
            stop = min(end, start + rng.randrange(50, 3000) * MILLISECOND)
            a, b = rng.randrange(n), rng.randrange(n)
            faults += [Fault(start, "clog", a, b), Fault(stop, "unclog", a, b)]
            continue
        chosen = rng.sample(range(n), rng.randrange(1, n))
        step = rng.randrange(20, 500) * MILLISECOND
        turn = start + len(chosen) * step
        for index, replica in enumerate(chosen):
            faults += [Fault(min(end, start + index * step), *link) for link in _links("clog", replica, n)]
        for index, replica in enumerate(rng.sample(chosen, len(chosen))):
            faults += [Fault(min(end, turn + index * step), *link) for link in _links("unclog", replica, n)]
    return faults


def _links(kind: str, replica: ReplicaId, n: int) -> list[tuple[str, ReplicaId, int]]:
    others = [other for other in range(n) if other != replica]
    return [(kind, replica, other) for other in others] + [(kind, other, replica) for other in others]


def resets(rng: Random, n: int, end: Nanos) -> list[Fault]:
    """Connections break, one by one or all of a replica's."""
    faults = []
    for _ in range(rng.randrange(2, 20)):
        at, kind = rng.randrange(end), rng.choice(("reset", "reset-mid-frame"))
        replica = rng.randrange(n)
        links = _links(kind, replica, n)
        faults += [Fault(at, *link) for link in (links if rng.random() < 0.3 else [rng.choice(links)])]
    return faults


def clocks(rng: Random, n: int, end: Nanos) -> list[Fault]:
    """The time of day is set, machines are suspended, clocks stand still."""
    faults = []
    for _ in range(rng.randrange(1, 7)):
        at, replica = rng.randrange(end), rng.randrange(n)
        kind = rng.choice(("set-wall", "set-wall", "leap", "freeze"))
        if kind == "set-wall":
            faults.append(Fault(at, kind, replica, rng.randint(-10 * SECOND, 10 * SECOND)))
        elif kind == "leap":
            faults.append(Fault(at, kind, replica, rng.randrange(10 * SECOND)))
        else:
            stop = min(end, at + rng.randrange(100, 3000) * MILLISECOND)
            faults += [Fault(at, kind, replica, 0), Fault(stop, "thaw", replica, 0)]
    return faults


def failing_disks(rng: Random, n: int, end: Nanos) -> list[Fault]:
    """Disks that fail and keep what was durable: any number of them."""
    faults = []
    for _ in range(rng.randrange(1, 6)):
        at, replica = rng.randrange(end), rng.randrange(n)
        back = min(end, at + rng.choice((100, 500, 2000)) * MILLISECOND)
        kind = rng.choice(("disk-full", "sync-error", "read-error", "rot-state"))
        if kind == "disk-full":
            faults += [Fault(at, kind, replica, 0), Fault(back, "disk-freed", replica, 0)]
            continue
        faults.append(Fault(at, kind, replica, rng.randrange(1, 4)))
        if kind != "sync-error":
            faults.append(Fault(at, "crash", replica, 1))
        faults.append(Fault(back, "restart", replica, 0))
        faults.append(Fault(min(end, back + 300 * MILLISECOND), "restart", replica, 0))
    return faults


def spoiled_disks(
    rng: Random, spoiled: Sequence[ReplicaId], end: Nanos, stories: Sequence[str] = STORIES
) -> list[Fault]:
    """Disks that forget, one story a replica: the log rots, an old copy is restored, all is lost."""
    faults = []
    for replica in spoiled:
        at = rng.randrange(end // 4, end)
        later = rng.randrange(at, end)
        kind = rng.choice(stories)
        if kind == "stale":
            faults.append(Fault(rng.randrange(at), "save", replica, 0))
        faults.append(Fault(at, kind, replica, rng.randrange(1 << 30)))
        if kind not in ("stale", "lose"):
            # Nobody looks at it before the next start.
            faults.append(Fault(at + 1 if kind != "misdirect" else later, "crash", replica, 1))
            faults.append(Fault(later + 1, "restart", replica, 0))
            if rng.random() < 0.5 and "lose" in stories:
                faults.append(Fault(rng.randrange(later + 1, end + 2), "lose", replica, 0))
    return faults


def left_behind(rng: Random, chosen: Sequence[ReplicaId], end: Nanos) -> list[Fault]:
    """Correct replicas that do not heal with the others."""
    return [Fault(end, rng.choice(("stay-down", "stay-cut")), replica, 0) for replica in chosen]
