"""PBFT's entry in docs/protocols.md, in both forms, as a default configuration runs it."""

from __future__ import annotations

from typing import Final

from outvote.core import quorums
from outvote.core.facts import Count, Facts

SIGNED: Final = Facts(
    source="Castro and Liskov 1999",
    tolerates="lie",
    replicas=Count("3f + 1", lambda f: 3 * f + 1),
    quorum=Count("⌈(n + f + 1) / 2⌉", quorums.quorum),
    messages=Count("2n(n − 1)", lambda n: 2 * n * (n - 1)),
    signatures=Count("n + 1", lambda n: n + 1),
    delays=Count("4", lambda n: 4),
    delays_read=2,
    answers=Count("⌈(n + f + 1) / 2⌉", quorums.quorum),
    crypto="Ed25519 on requests, proposals and PREPAREs; TLS says who sends the rest",
    timing="agreement under any delay; progress once messages come in time (partial synchrony)",
    client="a quorum of equal answers; f + 1 if nothing is answered before it is committed (5 delays)",
)

AUTHENTICATED: Final = SIGNED._replace(
    source="Castro and Liskov 2002",
    signatures=Count("1", lambda n: 1),
    crypto="Ed25519 on requests; MACs, or TLS, between replicas",
)
