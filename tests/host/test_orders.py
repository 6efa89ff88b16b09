"""Who may give an order, and how often it is carried out."""

from __future__ import annotations

import pytest

from outvote.core.committee import Committee
from outvote.core.contract import Claim, Struct
from outvote.host.budgets import Budget
from outvote.host.orders import Orders
from outvote.protocols.catalogue import protocol
from outvote.types import FIRST_CLIENT, ReplicaId
from outvote.wire.client_messages import Order, Ordered, OrderStatement

CLIENT = FIRST_CLIENT


class Opener:
    """A seal is its signer's name."""

    def __init__(self) -> None:
        self.opened = 0

    def opens(self, claim: Claim) -> bool:
        self.opened += 1
        return claim.seal == b"%d" % claim.signer

    opens_here = opens


class Silent:
    """Hears of lies, and counts them."""

    def __init__(self) -> None:
        self.lies = 0

    def count(self, what: str, amount: int = 1) -> None: ...
    def evidence(self, party: ReplicaId, first: tuple[Struct, bytes], second: tuple[Struct, bytes]) -> None: ...
    def note(self, text: str) -> None: ...
    def checkpoint(self, position: int, digest: bytes) -> None: ...

    def lie(self, party: int, kind: str, text: str) -> None:
        self.lies += 1


def parts() -> tuple[Orders, list[tuple[str, int]], Opener, Silent]:
    core = protocol("raft").make(0, Committee(3, "crashes"), {})
    core.restore(0, b"", [])
    done: list[tuple[str, int]] = []

    def operate(what: str, argument: int) -> str:
        done.append((what, argument))
        return ""

    core.operate = operate  # type: ignore[method-assign]
    opener, observer = Opener(), Silent()
    return Orders(core, frozenset(range(3)), opener, observer), done, opener, observer


def order(number: int, signer: int = 2, seal: bytes = b"", view: int = 0, what: str = "hand-over") -> Order:
    return Order(OrderStatement(what, 1, view, number), signer, seal or b"%d" % signer)


def budget() -> Budget:
    return Budget(4, 1)


def test_an_order_with_a_replicas_key_is_carried_out_once() -> None:
    orders, done, _, _ = parts()
    assert orders.take(CLIENT, order(7), budget()) == Ordered(7, "")
    assert done == [("hand-over", 1)]
    for stale in (7, 6):
        assert "not newer" in orders.take(CLIENT, order(stale), budget()).refusal
    assert orders.take(CLIENT, order(8), budget()) == Ordered(8, "")
    assert len(done) == 2


@pytest.mark.parametrize(
    "bad", [order(7, CLIENT), order(7, 3), order(7, -1), order(7, 2, b"1")], ids=["client", "n", "negative", "forged"]
)
def test_no_other_key_gives_orders(bad: Order) -> None:
    """Also a client's own, with which it can sign whatever it likes."""
    orders, done, _, observer = parts()
    assert "not sealed with the key of a replica" in orders.take(CLIENT, bad, budget()).refusal
    assert not done
    assert observer.lies == 1
    assert orders.take(CLIENT, order(7), budget()) == Ordered(7, ""), "and it uses no number up"


def test_an_order_for_another_view_costs_no_signature_check() -> None:
    orders, done, opener, _ = parts()
    assert "the view is 0" in orders.take(CLIENT, order(7, view=3), budget()).refusal
    assert "32 characters" in orders.take(CLIENT, order(7, what="x" * 33), budget()).refusal
    assert not done
    assert not opener.opened


def test_forgeries_are_paid_for() -> None:
    orders, _, opener, _ = parts()
    purse = budget()
    for _ in range(10):
        refusal = orders.take(CLIENT, order(7, 2, b"1"), purse).refusal
    assert refusal.startswith("busy")
    assert opener.opened == 4


def test_other_protocols_take_none() -> None:
    core = protocol("pbft").make(0, Committee(4), {})
    assert core.operate("hand-over", 1) == "this protocol knows no order 'hand-over'"


def test_where_a_replica_obeys_its_owner_alone_another_ones_key_is_refused() -> None:
    """Else one owner, or whoever stole one key, could wish in the name of all."""
    core = protocol("honeybadger").make(0, Committee(5), {})
    core.restore(0, b"", [])
    orders = Orders(core, frozenset(range(5)), Opener(), observer := Silent())
    wish = OrderStatement("change-members", 0b1111, 0, 7)
    refused = orders.take(CLIENT, Order(wish, 2, b"2"), budget())
    assert refused == Ordered(7, "it is not sealed with the key of this replica")
    assert observer.lies == 1
    assert orders.take(CLIENT, Order(wish, 0, b"0"), budget()) == Ordered(7, "")
    assert core.inner.state.wish == 0b1111  # type: ignore[attr-defined]
    three = OrderStatement("change-members", 0b111, 0, 8)
    assert "four replicas or more" in orders.take(CLIENT, Order(three, 0, b"0"), budget()).refusal
