"""Corrupts whoever is about to lead, for as long as f allow it: the adversary that chooses while the run goes on.

It sees what travels in the open: which views there are, and so whose turn is next. Kept: with those who lie from the
start, whose disks forget and who are left behind, it never makes more than f.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

from outvote.simulator.plan import Sins
from outvote.types import MILLISECOND, Nanos

if TYPE_CHECKING:
    from outvote.simulator.world import World

LOOKS_EVERY_NS: Nanos = 20 * MILLISECOND  # five times within the shortest view timeout that is drawn
PATIENCE_NS: Final = (0, 300 * MILLISECOND, 1000 * MILLISECOND)  # how long it lets a view be before it strikes


class Adaptive:
    """One world's. Does nothing if it has no sins to hand out."""

    def __init__(self, world: World, sins: Sins) -> None:
        self._world = world
        self._sins = sins
        self._rng = Random(f"{world.plan.seed} adaptive")
        self._next_strike: Nanos = 0

    def begin(self) -> None:
        if self._sins:
            self._wait()
            self._world.after(LOOKS_EVERY_NS, self._look)

    def _wait(self) -> None:
        self._next_strike = self._world.now + self._rng.choice(PATIENCE_NS)

    def _look(self) -> None:
        """Views are told to everybody, so the newest one is known; this one's primary or the next one's is taken."""
        world = self._world
        if world.now >= self._next_strike:
            views = [turn.core.standing().view for turn in world.honest_turns()]
            target = world.committee.leader(max(views, default=0) + self._rng.randrange(2))
            if target not in world.liars and not world.faults.affects_too_many(target):
                world.corrupt(target, self._sins)
                world.mark("corrupted while running")
                self._wait()
        if any(one not in world.liars and not world.faults.affects_too_many(one) for one in range(world.plan.n)):
            world.after(LOOKS_EVERY_NS, self._look)
