"""HoneyBadgerBFT's entry in docs/protocols.md, as a default configuration runs it."""

from __future__ import annotations

from typing import Final

from outvote.core import quorums
from outvote.core.facts import Count, Facts

ROUNDS_SUMMED: Final = 64  # the rest of the sum is below n / 2^64


def slowest_of(n: int) -> float:
    """Expected rounds of the slowest of n agreements, each of which ends in a round with probability 1/2."""
    return sum(1 - (1 - 2.0**-rounds) ** n for rounds in range(ROUNDS_SUMMED))


HONEYBADGER: Final = Facts(
    source="Miller, Xia, Croman, Shi and Song 2016",
    tolerates="lie",
    replicas=Count("3f + 1", lambda f: 3 * f + 1),
    quorum=Count("n − f", lambda n: n - quorums.faults(n)),
    messages=Count(
        "n²(n − 1)(4r + 1) to agree in r rounds and to decrypt, and n(n − 1)(2n + 1) to broadcast",
        lambda n: n * (n - 1) * (2 * n + 1),
    ),
    signatures=Count("1", lambda n: 1),
    delays=Count("7 + 4r, r by chance; on average", lambda n: round(7 + 4 * slowest_of(n))),
    delays_read=None,
    answers=Count("f + 1", lambda n: quorums.faults(n) + 1),
    crypto="Ed25519 on requests; threshold coins and encryption over BLS12-381; TLS says who sends the rest",
    timing="agreement and progress under any delay (asynchrony), with probability 1",
    client="f + 1 equal answers",
    by_chance=True,
)
