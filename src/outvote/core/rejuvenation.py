"""Proactive recovery: who is started again from a clean process, and when, whether anybody suspects it or not.

A replica that is rejuvenated counts as faulty until it has recovered, so at most f may be at it at a time, and the
fewer the better: one that lies and k that recover are f only if there are enough replicas for both. That is why one at
a time is the rule here.
"""

from __future__ import annotations

from typing import NamedTuple

from outvote.core.quorums import faults
from outvote.errors import Mistake
from outvote.types import Nanos, ReplicaId


class Turn(NamedTuple):
    """One entry of a schedule."""

    at: Nanos  # from the schedule's beginning
    replicas: tuple[ReplicaId, ...]  # rejuvenated together, at most f


class Schedule(NamedTuple):
    """Every replica once a period, `at_once` of them at a time, evenly spread over the period. Made by `schedule`."""

    n: int
    at_once: int
    period_ns: Nanos

    @property
    def turns(self) -> int:
        """How many it takes until everybody had one."""
        return -(-self.n // self.at_once)

    @property
    def interval_ns(self) -> Nanos:
        """From one turn to the next; the last of a period may be followed a little later."""
        return self.period_ns // self.turns

    def turn(self, index: int) -> Turn:
        """The turns are counted from 0, without end; the first comes an interval after the beginning."""
        period, within = divmod(index, self.turns)
        first = within * self.at_once
        replicas = tuple(range(first, min(first + self.at_once, self.n)))
        return Turn(period * self.period_ns + (within + 1) * self.interval_ns, replicas)


def schedule(n: int, period_ns: Nanos, at_once: int = 1) -> Schedule:
    """Raises Mistake if more than f would be rejuvenated at once, or the period is too short to divide."""
    most = faults(n)
    if not 1 <= at_once <= most:
        raise Mistake(
            f"{n} replicas tolerate {most} faulty ones, and one that recovers is faulty meanwhile: {at_once} at a time"
            f" {'are' if at_once > 1 else 'is'} not possible; {'take 4 replicas' if not most else 'take fewer'}"
        )
    if period_ns < n:
        raise Mistake("the period of a rejuvenation must be longer than 0: each replica has its turn in it")
    return Schedule(n, at_once, period_ns)


def repair_ns(chosen: Schedule, recovery_ns: Nanos) -> Nanos:
    """T_r, the longest from a replica's failure to its recovery: it fails just behind its turn, is rejuvenated a period
    later, and needs `recovery_ns` for that, the bound whose excess is an alert."""
    return chosen.period_ns + recovery_ns


def window_of_vulnerability_ns(key_refresh_ns: Nanos, repair: Nanos) -> Nanos:
    """T_v = 2 T_k + T_r of Castro and Liskov 2002: at most f replicas may become faulty in any span of this length.

    `key_refresh_ns` is T_k, the longest that a session key is in use; `repair` is T_r (`repair_ns`). Twice T_k because
    a message is taken under the key of before as well as the newest, so what a replica said while it was faulty may be
    taken for so long behind its recovery, and as long may what was taken from it before it failed.
    """
    return 2 * key_refresh_ns + repair
