"""The generals' entries in docs/protocols.md. n counts the commander; m is taken as large as n bears, up to 3."""

from __future__ import annotations

from typing import Final

from outvote.core.facts import Count, Facts
from outvote.protocols.generals.costs import oral_messages, signed_messages


def oral_traitors(n: int) -> int:
    """m that n generals bear with oral messages."""
    return (n - 1) // 3


def signed_traitors(n: int) -> int:
    """m that n generals bear with signed messages."""
    return n - 2


_LATE: Final = "every message in its round (synchrony); one late message breaks it"

ORAL: Final = Facts(
    source="Lamport, Shostak and Pease 1982",
    tolerates="lie",
    replicas=Count("3f + 1", lambda f: 3 * f + 1),
    quorum=Count("n − f", lambda n: n - oral_traitors(n)),
    messages=Count("Σ (n − 1)…(n − k − 1), k = 0…f", lambda n: oral_messages(n, oral_traitors(n))),
    signatures=Count("0", lambda n: 0),
    delays=Count("f + 1 rounds", lambda n: oral_traitors(n) + 1),
    delays_read=None,
    answers=Count("−", lambda n: 0),
    crypto="none: the channel says who speaks",
    timing=_LATE,
    client="none: the generals decide for themselves, after f + 1 rounds",
)

SIGNED: Final = ORAL._replace(
    replicas=Count("f + 2", lambda f: f + 2),
    quorum=Count("n − f", lambda n: n - signed_traitors(n)),
    delays=Count("f + 1 rounds", lambda n: signed_traitors(n) + 1),
    messages=Count("(n − 1) + (n − 1)(n − 2)", lambda n: signed_messages(n, signed_traitors(n))),
    signatures=Count("n", lambda n: n),
    crypto="Ed25519 chains, a signature a mouth",
)
