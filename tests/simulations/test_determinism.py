"""A seed is one run: in three processes, each with a PYTHONHASHSEED of its own, it gives the same digest.

`make determinism` does the same with all seeds of CI.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import outvote
from outvote.simulator.runs import run_seed
from outvote.simulator.swarm import draw

SOURCES = Path(outvote.__file__).parent.parent
SEEDS = tuple(seed for seed in range(700, 760) if draw(seed).n < 10)[:12]
PROGRAM = f"""
from outvote.simulator.runs import run_seed
for seed in {SEEDS}:
    result = run_seed("pbft", seed)
    print(seed, result.digest, result.events, result.delivered, sorted(result.marks.items()))
"""


def begin(hash_seed: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(SOURCES)}
    return subprocess.Popen([sys.executable, "-c", PROGRAM], env=environment, stdout=subprocess.PIPE, text=True)


def test_many_seeds_run_alike_in_every_process_and_under_every_hash_seed() -> None:
    assert any(draw(seed).real_seals for seed in SEEDS)
    told = [process.communicate()[0].splitlines() for process in [begin(seed) for seed in ("0", "1", "4242")]]
    assert len(told[0]) == len(SEEDS)
    assert told[0] == told[1] == told[2]
    assert len({line.split()[1] for line in told[0]}) == len(SEEDS), "different seeds are different runs"


def test_what_ran_before_in_the_process_changes_nothing() -> None:
    alone = run_seed("pbft", SEEDS[0]).digest
    run_seed("pbft", SEEDS[1])
    assert run_seed("pbft", SEEDS[0]).digest == alone
