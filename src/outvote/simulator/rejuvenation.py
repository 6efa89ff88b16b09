"""Proactive recovery in a simulated world, and the adversary that it is against: one that moves.

The mover corrupts one replica after the other for as long as f allow it, and without rejuvenation that ends with the
first f. A rejuvenated replica is started again from a clean process: an honest voice, and a disk that its recovery
checks. Both end when the world heals: one that is recovering and one that lies are two, and with f = 1 nothing need go
on then. It counts as faulty until it has recovered, which is as Castro and Liskov 2002 have it: once its stable
checkpoint is at or beyond every position that could have been assigned when it began.

What is assumed: no signing key is taken away (the paper's secure co-processor), so nobody speaks in the name of a
replica that was freed; and the mover leaves its log alone, which has checksums and no authentication.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

from outvote.core.rejuvenation import Schedule, schedule
from outvote.simulator.plan import Sins
from outvote.types import MILLISECOND, Nanos, Position, ReplicaId

if TYPE_CHECKING:
    from outvote.simulator.world import World

DOWN_NS: Nanos = 20 * MILLISECOND  # from the end of the old process to the start of the clean one
LOOKS_EVERY_NS: Nanos = 20 * MILLISECOND
PATIENCE_NS: Final = (0, 100 * MILLISECOND, 400 * MILLISECOND)  # how long the mover waits before it strikes again


class Rejuvenation:
    """One world's. Does nothing if the plan has no period."""

    def __init__(self, world: World, period_ns: Nanos) -> None:
        self._world = world
        self._schedule: Schedule | None = schedule(world.plan.n, period_ns) if period_ns else None
        self._next = 0
        self._begun_at: Nanos = 0
        self._recovering: dict[ReplicaId, Position] = {}  # freed liars, and the position that they have to reach
        self.freed: list[ReplicaId] = []  # liars that have recovered, in order

    def begin(self) -> None:
        if self._schedule is not None:
            self._begun_at = self._world.now
            self._await_turn(self._schedule)

    def _await_turn(self, chosen: Schedule) -> None:
        world = self._world
        turn = chosen.turn(self._next)
        self._next += 1

        def strike() -> None:
            if world.healed:
                return
            for replica in turn.replicas:
                self.rejuvenate(replica)
            self._await_turn(chosen)

        world.after(self._begun_at + turn.at - world.now, strike)

    def rejuvenate(self, replica: ReplicaId) -> None:
        """End its process, whatever it does, and start a clean one. Those that the plan leaves behind stay so, and
        twins, that are one key in two places, are nobody's to start."""
        world = self._world
        if len(world.places[replica]) > 1 or replica in world.faults.left_behind:
            return
        one = world.replicas[replica]
        world.log("world", f"rejuvenates {replica}")
        world.mark("rejuvenated")
        if one.sins:
            self._recovering[replica] = self._assigned_at_most()
            one.sins = ()
            world.after(LOOKS_EVERY_NS, lambda: self._look(replica))
        one.crash()
        world.hang_up(replica)
        world.after(DOWN_NS, one.start)

    def _assigned_at_most(self) -> Position:
        world = self._world
        stable = max((turn.core.standing().stable for turn in world.honest_turns()), default=0)
        return stable + world.plan.parameters["window"]

    def _look(self, replica: ReplicaId) -> None:
        """Started once more when it counts as honest: what checkers hold a replica to begins with a restart."""
        world, one = self._world, self._world.replicas[replica]
        position, digest = one.disk.newest()
        if one.turn is None or position < self._recovering[replica]:
            world.after(LOOKS_EVERY_NS, lambda: self._look(replica))
            return
        del self._recovering[replica]
        one.crash()
        world.free(replica)
        one.kept(position, digest)
        one.start()
        self.freed.append(replica)
        world.mark("recovered from a corruption")


class Mover:
    """Corrupts whoever it likes, in the order that its seed draws, while no more than f are affected."""

    def __init__(self, world: World, sins: Sins) -> None:
        self._world = world
        self._sins = sins
        self._rng = Random(f"{world.plan.seed} mover")
        self._next_strike: Nanos = 0
        self.corrupted: list[ReplicaId] = []

    def begin(self) -> None:
        if self._sins:
            self._world.after(LOOKS_EVERY_NS, self._look)

    def _look(self) -> None:
        world = self._world
        if world.healed:
            return
        world.after(LOOKS_EVERY_NS, self._look)
        if world.now < self._next_strike:
            return
        fresh = [one for one in range(world.plan.n) if one not in self.corrupted[-1:] and self._may_be_taken(one)]
        if fresh:
            target = self._rng.choice(fresh)
            world.corrupt(target, self._sins)
            self.corrupted.append(target)
            world.mark("corrupted while running")
            self._next_strike = world.now + self._rng.choice(PATIENCE_NS)

    def _may_be_taken(self, replica: ReplicaId) -> bool:
        world = self._world
        up = world.replicas[replica].turn is not None
        return up and replica not in world.liars and not world.faults.affects_too_many(replica)
