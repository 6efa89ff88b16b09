"""An adversary who rules the network and no replica: the scheduler of an asynchronous system.

It holds back whatever the replica that leads says to the others, and lets all of it go when another one leads. Nothing
is lost, nobody lies, and at any time the other n - 1 replicas hear each other. A protocol that waits for a leader with
a timeout does nothing but change leaders then, however its timeouts grow (Miller et al. 2016, section 3). What was held
back and when is kept, so another protocol can be put under the very same schedule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from outvote.protocols.catalogue import protocol
from outvote.simulator.plan import Plan
from outvote.types import MILLISECOND, NEVER, SECOND, Nanos, ReplicaId

if TYPE_CHECKING:
    from outvote.simulator.world import World

LOOKS_EVERY: Final[Nanos] = MILLISECOND


class Hold(NamedTuple):
    """From this instant on this replica's words are held back, until the next hold begins."""

    since: Nanos
    replica: ReplicaId


class Scheduler:
    """Holds back one replica of a world at a time."""

    def __init__(self, world: World) -> None:
        self.holds: list[Hold] = []
        self._world = world
        self._held: ReplicaId | None = None
        self._over = False

    def follow_the_leader(self) -> None:
        """From now on: whoever leads the view that a quorum has reached. Those who are behind it decide nothing alone,
        and nobody leads a view that fewer have reached."""
        if self._over:
            return
        committee = self._world.committee
        views = sorted((turn.core.standing().view for turn in self._world.honest_turns()), reverse=True)
        leader = committee.leader(views[committee.quorum - 1] if len(views) >= committee.quorum else 0)
        if not self.holds or self.holds[-1].replica != leader:
            self.hold(leader)
        self._world.after(LOOKS_EVERY, self.follow_the_leader)

    def repeat(self, holds: Sequence[Hold]) -> None:
        """What was held back in another world, at the same times."""
        for one in holds:
            self._world.after(one.since - self._world.now, partial(self.hold, one.replica))

    def hold(self, replica: ReplicaId) -> None:
        if self._over:
            return
        self.release()
        self._held = replica
        self.holds.append(Hold(self._world.now, replica))
        self._world.log("world", f"holds back {replica}")
        for other in self._others(replica):
            self._world.network.link(replica, other).clog()

    def release(self) -> None:
        """What is held back goes its way."""
        if self._held is not None:
            for other in self._others(self._held):
                self._world.network.link(self._held, other).unclog()
            self._held = None

    def end(self) -> None:
        """From now on the network is as it should be."""
        self.release()
        self._over = True

    def _others(self, replica: ReplicaId) -> list[ReplicaId]:
        return [other for other in range(self._world.plan.n) if other != replica]


class Fate(NamedTuple):
    """What became of one cluster. Operations are counted as clients have their answers."""

    protocol: str
    calls: int
    answered: int  # while the scheduler ruled
    views: int  # gone through meanwhile
    answered_then: int  # some time after it let go
    holds: tuple[Hold, ...]


def play(name: str, seed: int, ruled: Nanos, then: Nanos, holds: Sequence[Hold] = ()) -> Fate:
    """One cluster of four and three clients, under jitter of ten times a message's delay. The scheduler follows the
    leader, or repeats `holds`. Raises Violation if an invariant breaks."""
    from outvote.simulator.world import World  # noqa: PLC0415 - worlds are made of most of this package

    plan = Plan(
        seed=seed, clients=3, operations_each=10, outstanding=2, keys=3, delay_min=MILLISECOND,
        delay_mean=10 * MILLISECOND, heavy_tail=True, faults_end=NEVER, deadline=NEVER,
    )
    world = World(plan, protocol(name))
    scheduler = Scheduler(world)
    begin: Callable[[], None] = partial(scheduler.repeat, holds) if holds else scheduler.follow_the_leader
    begin()
    world.start()
    world.run_until(ruled)
    answered, views = _answered(world), _views(world)
    scheduler.end()
    world.run_until(ruled + then)
    calls = plan.clients * plan.operations_each
    return Fate(name, calls, answered, views, _answered(world), tuple(scheduler.holds))


def contrast(leading: str, leaderless: str, seed: int = 1, ruled: Nanos = 60 * SECOND) -> tuple[Fate, Fate]:
    """A protocol with a leader under a schedule that follows it, and one without under the same schedule."""
    first = play(leading, seed, ruled, ruled)
    return first, play(leaderless, seed, ruled, ruled, first.holds)


def _answered(world: World) -> int:
    return sum(len(client.history) for client in world.clients)


def _views(world: World) -> int:
    return max((turn.core.standing().view for turn in world.honest_turns()), default=0)
