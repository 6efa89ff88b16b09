"""What one replica computes when a cluster makes its own threshold keys: python bench/dealings.py [N ...]"""

from __future__ import annotations

import sys
import time

from outvote.core.quorums import faults
from outvote.crypto.dealings import Ceremony, Terms, register


def measure(n: int) -> str:
    """Seconds of CPU: its dealing; checking and opening n - f of them; adding them up."""
    secrets = [replica.to_bytes(32, "big") for replica in range(1, n + 1)]
    terms = Terms(b"bench", faults(n) + 1, tuple(map(register, secrets)), n)
    began = time.process_time()
    mine = Ceremony(terms)
    own = mine.deal(0, secrets[0])
    dealt = time.process_time()
    dealings = {dealer: mine.deal(dealer, secrets[dealer]) for dealer in range(n - faults(n))}
    fresh = Ceremony(terms)
    ready = time.process_time()
    verdict = fresh.verdict(dealings, 0, secrets[0])
    judged = time.process_time()
    combined = fresh.combine(dealings, fresh.qualified(dealings, dict.fromkeys(dealings, verdict)))
    combined.row(0, secrets[0])
    done = time.process_time()
    size = round(sum(map(len, dealings.values())) / 1000)
    return (
        f"n = {n:2}: deal {dealt - began:.2f} s, check and open {judged - ready:.2f} s, add up {done - judged:.2f} s; "
        f"a dealing has {len(own):,} bytes, all of them {size:,} kB"
    )


if __name__ == "__main__":
    for argument in sys.argv[1:] or ["4", "10", "31", "40"]:
        print(measure(int(argument)), flush=True)
