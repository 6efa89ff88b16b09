"""Raft's entry in docs/protocols.md, as a default configuration runs it."""

from __future__ import annotations

from typing import Final

from outvote.core import quorums
from outvote.core.facts import Count, Facts

RAFT: Final = Facts(
    source="Ongaro and Ousterhout 2014",
    tolerates="crash",
    replicas=Count("2f + 1", lambda f: 2 * f + 1),
    quorum=Count("⌊n / 2⌋ + 1", quorums.majority),
    messages=Count("2(n − 1)", lambda n: 2 * (n - 1)),
    signatures=Count("1", lambda n: 1),
    delays=Count("4", lambda n: 4),
    delays_read=4,
    answers=Count("1", lambda n: 1),
    crypto="Ed25519 on requests; TLS, or MACs, between replicas, whose words are all believed",
    timing="agreement under any delay; progress once messages come in time (partial synchrony)",
    client="one replica; so one that lies is believed too",
)
