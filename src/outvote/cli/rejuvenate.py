"""`outvote up --rejuvenate`: each replica is restarted from a clean process in turn, and a recovery that takes too long
is told of: a line, a counter and the exit code of `outvote status`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from outvote.cli.recovery_note import RecoveryNote, remove_note, write_note
from outvote.cli.status import Inquiry, Overview
from outvote.configuration.genesis import Genesis
from outvote.core.rejuvenation import Schedule, repair_ns, schedule, window_of_vulnerability_ns
from outvote.errors import Mistake
from outvote.host.connection import REFRESH_WITHIN_S
from outvote.types import SECOND, Nanos, Position, ReplicaId

RECOVERY_BOUND_S: Final = 60.0  # a process starts in a second or two; the rest is for fetching what is wrong
_LOOKS_EVERY_S: Final = 0.2
_ANSWER_WITHIN_S: Final = 1.0


def check_times(n: int, period_s: float, bound_s: float) -> Schedule:
    """One replica at a time. Raises Mistake for times or a size of cluster with which it makes no sense."""
    if not 0 < period_s <= 1e9:
        raise Mistake(f"--rejuvenate is {period_s:g}: give the seconds in which every replica has its turn once")
    if not 0 < bound_s <= 1e9:
        raise Mistake(f"--recovery-bound is {bound_s:g}: give the seconds that a recovery may take")
    return schedule(n, int(period_s * SECOND))


def longest_key_use_ns(genesis: Genesis) -> Nanos:
    """T_k: how long a session key is taken at most; 0 where there is none, and a connection's keys end with it, as a
    replica's all do when it is rejuvenated."""
    return int((genesis.session_key_seconds + REFRESH_WITHIN_S) * SECOND) if genesis.has_session_keys else 0


def new_note(genesis: Genesis, chosen: Schedule, bound_s: float) -> RecoveryNote:
    """Of a schedule that begins, with its window of vulnerability."""
    key_use, repair = longest_key_use_ns(genesis), repair_ns(chosen, int(bound_s * SECOND))
    return RecoveryNote(
        period_s=chosen.period_ns / SECOND,
        bound_s=bound_s,
        faults=genesis.committee().faults,
        key_use_s=key_use / SECOND,
        repair_s=repair / SECOND,
        window_s=window_of_vulnerability_ns(key_use, repair) / SECOND,
    )


class Rejuvenator:
    """Of one supervisor. `renew` ends a replica's process and returns when it is gone; a new one is started then."""

    def __init__(
        self, directory: Path, genesis: Genesis, chosen: Schedule, bound_s: float,
        renew: Sequence[Callable[[], Awaitable[None]]], say: Callable[[str], None],
    ) -> None:
        self._directory = directory
        self._genesis = genesis
        self._schedule = chosen
        self._renew = renew
        self._say = say
        self.note = new_note(genesis, chosen, bound_s)

    async def run(self) -> None:
        """Until cancelled. A turn begins when the one before has recovered, however late that makes it."""
        write_note(self._directory, self.note)
        inquiry = Inquiry(self._directory, None)
        try:
            began, index = time.monotonic(), 0
            while True:
                turn = self._schedule.turn(index)
                index += 1
                await asyncio.sleep(max(0.0, began + turn.at / SECOND - time.monotonic()))
                for replica in turn.replicas:
                    await self._rejuvenate(inquiry, replica)
        finally:
            remove_note(self._directory)
            await inquiry.close()

    async def _rejuvenate(self, inquiry: Inquiry, replica: ReplicaId) -> None:
        target = reached_by_others(await inquiry.overview(_ANSWER_WITHIN_S), replica)
        began = time.monotonic()
        self._say(f"replica {replica} is rejuvenated: its process ends, a clean one begins")
        await self._renew[replica]()
        while not recovered(await inquiry.overview(_ANSWER_WITHIN_S), replica, target):
            self._judge(replica, time.monotonic() - began)
            await asyncio.sleep(_LOOKS_EVERY_S)
        took = time.monotonic() - began
        self._judge(replica, took)
        self.note.rejuvenated += 1
        self.note.overdue = None
        write_note(self._directory, self.note)
        self._say(f"replica {replica} has recovered at position {target} or later, in {took:.1f} s")

    def _judge(self, replica: ReplicaId, took_s: float) -> None:
        """Tell of it once."""
        if took_s > self.note.bound_s and self.note.overdue is None:
            self.note.alerts += 1
            self.note.overdue = replica
            write_note(self._directory, self.note)
            self._say(self.note.alert())


def reached_by_others(overview: Overview, replica: ReplicaId) -> Position:
    """A position that an honest one of the others has reached: f of them may exaggerate. 0 if too few answer."""
    told = [one.standing.position for one in overview.reports if one is not None and one.replica != replica]
    beyond = overview.genesis.committee().faults
    return sorted(told, reverse=True)[beyond] if len(told) > beyond else 0


def recovered(overview: Overview, replica: ReplicaId, target: Position) -> bool:
    """It takes part, and has what the others had when it was ended."""
    report = overview.reports[replica]
    return report is not None and report.standing.active and report.standing.position >= target
