"""`outvote demo --asynchrony`: PBFT and HoneyBadger under one schedule, made by an adversary who rules the network.

In the simulator, on its own time: the adversary holds back whatever PBFT's leader says until another one leads, and
messages vary in their delays by ten times the shortest. PBFT only changes views; HoneyBadger, under the very same
schedule, has no leader to hold back and goes on. Both are right all the time, and when the adversary lets go, PBFT
answers everything too.
"""

from __future__ import annotations

from typing import Final

from outvote.cli import endings
from outvote.simulator.checkers.violation import Violation
from outvote.simulator.scheduler import Fate, contrast
from outvote.types import SECOND

LEADING: Final = "pbft"
LEADERLESS: Final = "honeybadger"
SECONDS: Final = 60  # of simulated time, and as much again after the adversary has let go


def lines(found: tuple[Fate, ...]) -> list[str]:
    """Side by side, a line a fact."""
    rows = [
        ("", *(f"{one.protocol}, 4 replicas" for one in found)),
        ("schedule", *(f"one replica held back at a time, {len(one.holds)} times" for one in found)),
        (f"answered in {SECONDS} s", *(f"{one.answered} of {one.calls}" for one in found)),
        ("views gone through", *(str(one.views) if one.views else "none: nobody leads" for one in found)),
        (f"answered {SECONDS} s later", *(f"{one.answered_then} of {one.calls}" for one in found)),
        ("contradictions", *("none" for _ in found)),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(found) + 1)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def run_asynchrony(seed: int = 1) -> int:
    """0 if both did what they promise: PBFT stood still and stayed right, HoneyBadger went on."""
    try:
        found = contrast(LEADING, LEADERLESS, seed, SECONDS * SECOND)
    except Violation as error:
        print(error, flush=True)
        return endings.NEGATIVE
    print("\n".join(lines(found)), flush=True)
    leading, leaderless = found
    stood_still = leading.answered == 0 < leading.views and leading.answered_then == leading.calls
    return endings.DONE if stood_still and leaderless.answered == leaderless.calls else endings.NEGATIVE
