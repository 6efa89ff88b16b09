"""How many messages a battle takes: exactly, and as the usual bound says."""

from __future__ import annotations


def oral_messages(n: int, m: int) -> int:
    """OM(m) among n generals, each path to each receiver a message: the sum over k = 0..m of (n-1)(n-2)...(n-k-1)."""
    total, level = 0, 1
    for k in range(m + 1):
        level *= n - 1 - k
        total += level
    return total


def oral_bound(n: int, m: int) -> int:
    """n^(m+1): the order of growth, which is often quoted as if it were the number."""
    return int(n ** (m + 1))


def signed_messages(n: int, m: int, orders: int = 1) -> int:
    """SM(m) with m >= 1, if the commander signs so many orders and every lieutenant hears each of them from it: each
    passes each on once. At most two are passed on (see ORDERS_KEPT_MAX), so two orders are the worst case."""
    relayed = orders * (n - 1) * (n - 2) if m else 0
    return n - 1 + relayed
