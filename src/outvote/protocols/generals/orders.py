"""Orders, and what a general makes of several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

Order: TypeAlias = str

ATTACK: Final[Order] = "attack"
RETREAT: Final[Order] = "retreat"  # also what counts where nothing came, or no majority is found (section 2)

# A SHA-256 in hexadecimal, which is what a service agrees on. OM(3) keeps 13 344 / 12 of them a general at n = 13.
ORDER_CHARACTERS_MAX: Final = 64


def majority(orders: Sequence[Order], default: Order = RETREAT) -> Order:
    """What more than half of them say; `default` if nothing is."""
    for order in dict.fromkeys(orders):
        if 2 * orders.count(order) > len(orders):
            return order
    return default


def choice(orders: Sequence[Order], default: Order = RETREAT) -> Order:
    """The only one there is; `default` if there are none or several (section 4)."""
    return orders[0] if len(orders) == 1 else default


def opposite(order: Order) -> Order:
    """For liars."""
    return RETREAT if order == ATTACK else ATTACK


def passes(order: Order) -> bool:
    """Whether it is one at all: orders come from strangers."""
    return 0 < len(order) <= ORDER_CHARACTERS_MAX
