"""What a protocol needs and promises, in numbers that can be measured: for docs/protocols.md and `outvote advise`.

Where a number follows from another it is a function, so that it can be compared at several sizes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Count(NamedTuple):
    """A number that depends on a size: the formula as it is written, and as it is computed."""

    text: str
    of: Callable[[int], int]


class Facts(NamedTuple):
    """f is how many may fail in the way that is tolerated; n is how many there are. A decision is one without faults,
    of one request."""

    source: str  # who published it, and when
    tolerates: str  # what the f may do
    replicas: Count  # of f
    quorum: Count  # of n: how many have to be up and correct for progress
    messages: Count  # of n: between replicas, to decide
    signatures: Count  # of n: made to decide, the client's among them
    delays: Count  # of n: one-way delays from the client's request to its answer
    delays_read: int | None  # of a query beside the order; None: there are none
    answers: Count  # of n: equal ones that a client waits for
    crypto: str
    timing: str  # what it needs of the network, and for what
    client: str  # when a client believes an answer
    by_chance: bool = False  # coins are tossed on the way: `delays` is a mean
