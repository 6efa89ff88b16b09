"""Every seed of the CI run under three hash seeds, each in a process of its own: equal trace digests.

Takes the time of three CI swarms. `make determinism` calls it; the test suite does the same with twelve seeds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from itertools import zip_longest
from typing import Final

HASH_SEEDS: Final = ("0", "1", "4242")
LINE_WORDS: Final = 3  # of a run that held
CHUNK_SEEDS: Final = 50  # a process: some ten seconds of work beside its start

PROGRAM: Final = """
import sys
from outvote.simulator.runs import run_seed
protocol, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for seed in range(first, last):
    result = run_seed(protocol, seed)
    print(seed, result.digest, result.events, result.violation)
"""


def digests(protocol: str, first: int, last: int, hash_seed: str) -> list[str]:
    """A line for each seed: its number, trace digest, events, and the violation, if there is one."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", PROGRAM, protocol, str(first), str(last)]
    return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()


def chunks(seeds: int) -> Iterator[tuple[int, int]]:
    for first in range(0, seeds, CHUNK_SEEDS):
        yield first, min(seeds, first + CHUNK_SEEDS)


def survey(protocol: str, seeds: int, workers: int) -> int:
    """Returns how many seeds differ; prints each of them, and a digest over all lines of each hash seed."""
    differing = 0
    whole = [sha256() for _ in HASH_SEEDS]
    with ThreadPoolExecutor(workers) as pool:
        asked = [
            [pool.submit(digests, protocol, first, last, hash_seed) for hash_seed in HASH_SEEDS]
            for first, last in chunks(seeds)
        ]
        for futures in asked:
            told = [future.result() for future in futures]
            for over, lines in zip(whole, told, strict=True):
                over.update("\n".join(lines).encode())
            for one_seed in zip_longest(*told):
                if len(set(one_seed)) > 1:
                    differing += 1
                    print("differs: " + " | ".join(map(str, one_seed)), flush=True)
                elif len(str(one_seed[0]).split()) > LINE_WORDS:
                    print(f"an invariant is broken, alike under all: {one_seed[0]}", flush=True)
            print(f"{told[0][-1].split()[0]} and before: {differing} differ", flush=True)
    for hash_seed, over in zip(HASH_SEEDS, whole, strict=True):
        print(f"PYTHONHASHSEED={hash_seed}: {over.hexdigest()[:32]}")
    print(f"{protocol}: {seeds} seeds, {len(HASH_SEEDS)} hash seeds, {differing} seeds differ")
    return differing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--protocol", default="pbft")
    parser.add_argument("--seeds", type=int, default=1500)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    sys.exit(1 if survey(arguments.protocol, arguments.seeds, arguments.workers) else 0)


if __name__ == "__main__":
    main()
