"""The liveness phase: once a core of Q correct replicas is healed, every operation is answered within a bound.

The others lie, stay down or stay cut off. The bound counts from when an operation was called or the world healed,
whichever is later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from outvote.simulator.checkers.violation import Violation
from outvote.types import SECOND, Nanos

if TYPE_CHECKING:
    from outvote.simulator.world import World

TIMEOUTS: Final = 20
# Clients ask again at the latest every 2 s, idle replicas tell each other where they stand as often, and a state's
# fetch is aimed anew after 2 s: with view timeouts below a second it is those that take the time.
TIMEOUT_MIN: Nanos = SECOND
LOOKS_EVERY: Nanos = SECOND // 4


class Liveness:
    """Looks at the clients of one world from time to time.

    A view timeout is the longest that a correct replica of the core has used since the world healed: it doubles with
    each fruitless view, so a replica that was cut off for long waits for long, and that is as the paper has it. It is
    bounded by the protocol's own limit, 16 times the configured one. What has to fit into 20 of them: the rest of the
    view that was under way, up to f lying primaries in a row, the client's next retry, and fetching a state.
    """

    def __init__(self, world: World, stuck: Callable[[], str]) -> None:
        self._world = world
        self._stuck = stuck
        self._places: Sequence[int] = ()
        self._healed: Nanos = 0
        self._timeout: Nanos = TIMEOUT_MIN
        self.longest: Nanos = 0  # that an operation has waited
        self.longest_share = 0.0  # of its bound

    def begin(self, core: Sequence[int]) -> None:
        """The world has healed; `core` are the places that take part from here on, liars included."""
        self._places = core
        self._healed = self._world.now
        self._look()

    def _look(self) -> None:
        world = self._world
        timeout_ns = world.protocol.insight.timeout_ns
        for place in self._places:
            turn = world.replicas[place].turn
            if turn is not None and world.replicas[place].honest:
                self._timeout = max(self._timeout, timeout_ns(turn.core))
        bound = TIMEOUTS * self._timeout
        for client in world.clients:
            since = client.waits_since()
            if since is None:
                continue
            waited = world.now - max(since, self._healed)
            self.longest = max(self.longest, waited)
            self.longest_share = max(self.longest_share, waited / bound)
            if waited > bound:
                raise Violation(
                    "liveness",
                    f"an operation has waited for {waited / SECOND:.1f} s, {TIMEOUTS} view timeouts; {self._stuck()}",
                )
        world.after(LOOKS_EVERY, self._look)
