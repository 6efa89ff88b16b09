"""Waiting requests: order, no repeats, bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outvote.core import request_pool
from outvote.core.contract import Request
from outvote.core.request_pool import CONTENDED_CUTS, PER_CLIENT_MAX, RECENT_PER_CLIENT_MAX, RequestPool


def request(number: int, client: int = 7, acknowledged: int = 0, size: int = 1) -> Request:
    return Request(client, number, acknowledged, (bytes(size),), bytes(64))


def numbers(requests: tuple[Request, ...] | list[Request]) -> list[int]:
    return [one.number for one in requests]


def test_first_come_first_cut_and_each_once() -> None:
    pool = RequestPool()
    assert [pool.add(request(number)) for number in (3, 1, 2, 3)] == [True, True, True, False]
    assert numbers(pool.cut(2, 10_000)) == [3, 1]
    assert numbers(pool.cut(2, 10_000)) == [2]
    assert pool.cut(2, 10_000) == ()
    assert len(pool) == 3, "proposed is not executed"
    pool.propose_again()
    assert numbers(pool.cut(9, 10_000)) == [3, 1, 2]


def test_a_batch_holds_at_least_one_and_then_what_fits() -> None:
    pool = RequestPool()
    for number in (1, 2, 3):
        pool.add(request(number, size=1000))
    assert numbers(pool.cut(9, 10)) == [1]
    assert numbers(pool.cut(9, 2300)) == [2, 3]


def test_what_a_fetched_state_has_executed_waits_no_longer() -> None:
    pool = RequestPool()
    for number in (1, 2, 3):
        pool.add(request(number))
    pool.forget([(7, 1), (7, 3), (7, 99)])
    assert numbers(pool.waiting()) == [2]
    assert numbers(pool.cut(9, 10_000)) == [2]
    assert not pool.add(request(3)), "a backup that does not know yet may forward it"


def test_what_was_executed_is_not_taken_in_again() -> None:
    pool = RequestPool()
    pool.add(request(1))
    pool.mark_executed(request(1))
    assert len(pool) == 0
    assert not pool.add(request(1))
    assert pool.executed(7, 1)
    assert not pool.executed(8, 1)
    pool.mark_executed(request(5))
    assert not pool.add(request(5)), "also if it never waited here"
    assert pool.add(request(4))


def test_acknowledged_requests_leave_and_stay_away() -> None:
    pool = RequestPool()
    for number in (1, 2, 3, 9):
        pool.add(request(number))
    pool.mark_executed(request(4, acknowledged=3))
    assert numbers(pool.waiting()) == [9]
    assert not pool.add(request(2))
    pool.mark_executed(request(6, acknowledged=1_000_000))
    assert not pool.add(request(5)), "acknowledged counts up to number - 1 at most"
    assert pool.add(request(7))


def test_one_client_cannot_push_out_another() -> None:
    pool = RequestPool()
    taken = sum(pool.add(request(number)) for number in range(1, 2 * PER_CLIENT_MAX))
    assert taken == PER_CLIENT_MAX
    assert pool.add(request(1, client=8))


def test_the_pool_is_bounded_in_requests_and_bytes() -> None:
    pool = RequestPool()
    clients = request_pool.REQUESTS_MAX // PER_CLIENT_MAX + 2
    for client in range(clients):
        for number in range(1, PER_CLIENT_MAX + 1):
            pool.add(request(number, client=client))
    assert len(pool) == request_pool.REQUESTS_MAX
    heavy = RequestPool()
    size = 256 * 1024
    for client in range(clients):
        for number in range(1, 5):
            heavy.add(request(number, client=client, size=size))
    assert size * len(heavy) <= request_pool.BYTES_MAX < size * (len(heavy) + 2)


def test_executed_numbers_are_bounded_a_client() -> None:
    pool = RequestPool()
    for number in range(1, 3 * RECENT_PER_CLIENT_MAX):
        pool.mark_executed(request(number))
    assert sum(pool.executed(7, number) for number in range(1, 3 * RECENT_PER_CLIENT_MAX)) == RECENT_PER_CLIENT_MAX


def test_the_oldest_is_known_until_executed() -> None:
    pool = RequestPool()
    assert pool.oldest() is None
    pool.add(request(2))
    pool.add(request(1))
    assert pool.oldest() == (7, 2)
    pool.mark_proposed(request(2))
    assert pool.oldest() == (7, 2)
    assert pool.waits((7, 2))
    pool.mark_executed(request(2))
    assert pool.oldest() == (7, 1)
    assert not pool.waits((7, 2))


OPERATIONS = st.lists(st.tuples(st.sampled_from(("add", "executed", "cut", "again")), st.integers(1, 12)), max_size=60)


@given(OPERATIONS)
def test_the_pool_does_what_a_plain_list_does(operations: list[tuple[str, int]]) -> None:
    pool = RequestPool()
    waiting: list[int] = []
    proposed: list[int] = []
    done: list[int] = []
    for kind, number in operations:
        if kind == "add":
            assert pool.add(request(number)) == (number not in waiting and number not in done)
            if number not in waiting and number not in done:
                waiting.append(number)
        elif kind == "executed":
            pool.mark_executed(request(number))
            done.append(number)
            waiting = [one for one in waiting if one != number]
        elif kind == "cut":
            expected = [one for one in waiting if one not in proposed][: number % 3 + 1]
            assert numbers(pool.cut(number % 3 + 1, 10_000)) == expected
            proposed += expected
        else:
            pool.propose_again()
            proposed = []
        assert numbers(pool.waiting()) == waiting
        assert pool.has_unproposed() == any(one not in proposed for one in waiting)


def keys(requests: tuple[Request, ...]) -> list[tuple[int, int]]:
    return [one.key for one in requests]


def of(client: int, number: int, operations: int = 1, size: int = 1) -> Request:
    return Request(client, number, 0, tuple(bytes(size) for _ in range(operations)), bytes(64))


def test_batches_are_cut_in_turn_by_client() -> None:
    pool = RequestPool()
    for number in range(1, 5):
        pool.add(of(1, number))
    for client in (2, 3):
        for number in (1, 2):
            pool.add(of(client, number))
    assert keys(pool.cut(5, 10_000)) == [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2)]
    assert keys(pool.cut(5, 10_000)) == [(3, 2), (1, 3), (1, 4)]


def test_a_client_waits_for_what_its_own_requests_cost() -> None:
    """One bundles 100 operations, another sends 50 KiB, the third is modest: it is always the first to be served."""
    pool = RequestPool()
    for number in range(1, 9):
        pool.add(of(1, number, operations=100))
        pool.add(of(2, number, size=50 * 1024))
        pool.add(of(3, number))
    taken = keys(pool.cut(12, 10**6))
    assert [number for client, number in taken if client == 3] == list(range(1, 9)), "nothing of it is left behind"
    assert {client for client, _ in taken} == {1, 2, 3}


def test_a_flood_before_it_costs_a_modest_client_one_request_of_each_other() -> None:
    pool = RequestPool()
    for client in range(1, 11):
        for number in range(1, PER_CLIENT_MAX + 1):
            pool.add(of(client, number))
    pool.cut(300, 10**6)
    pool.add(of(99, 1))
    assert (99, 1) in keys(pool.cut(11, 10**6))


def test_who_was_away_is_given_no_credit_for_it() -> None:
    pool = RequestPool()
    for number in range(1, 61):
        pool.add(of(1, number))
        pool.cut(1, 10_000)
    for number in range(1, 11):
        pool.add(of(1, 100 + number) if number > 4 else of(1, 60 + number))
        pool.add(of(2, number))
    first = keys(pool.cut(6, 10_000))
    assert [client for client, _ in first].count(1) >= 2, "client 2 owes nothing, and is owed nothing"


def test_a_full_pool_takes_the_place_of_who_holds_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_pool, "REQUESTS_MAX", 6)
    pool = RequestPool()
    for number in range(1, 6):
        pool.add(of(1, number))
    pool.add(of(2, 1))
    assert pool.add(of(3, 1)), "client 1 holds five of the six"
    assert pool.add(of(3, 2))
    assert not pool.add(of(3, 3)), "now it would hold as much as client 1"
    assert keys(tuple(pool.waiting())) == [(1, 1), (1, 2), (1, 3), (2, 1), (3, 1), (3, 2)], "the newest gave way"
    pool.cut(6, 10_000)
    assert not pool.add(of(4, 1)), "what is proposed stays"


def test_a_pool_full_of_bytes_takes_the_place_of_who_holds_most_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_pool, "BYTES_MAX", 4000)
    pool = RequestPool()
    for number in (1, 2, 3):
        pool.add(of(1, number, size=1000))
    for number in (1, 2, 3):
        pool.add(of(2, number, size=10))
    assert not pool.add(of(3, 1, size=3500)), "it would hold more than client 1"
    assert pool.add(of(3, 1, size=1000))
    assert [one.key for one in pool.waiting()] == [(1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (3, 1)]


def test_the_oldest_that_is_not_proposed() -> None:
    pool = RequestPool()
    assert pool.oldest_unproposed() is None
    for one in (of(1, 1), of(2, 1), of(1, 2)):
        pool.add(one)
    pool.mark_proposed(of(1, 1))
    oldest = pool.oldest_unproposed()
    assert oldest is not None
    assert oldest.key == (2, 1)
    pool.propose_again()
    assert pool.oldest_unproposed() == of(1, 1)


def test_while_several_want_something_none_gets_more_than_its_share_of_a_batch() -> None:
    """Or all would wait until the rest of it is executed; alone again, it may have all, a little later."""
    pool = RequestPool()
    for number in range(1, 6):
        pool.add(of(1, number, operations=200))
    assert len(pool.cut(99, 10**6)) == 5
    for number in range(6, 16):
        pool.add(of(1, number, operations=200))
    pool.add(of(2, 1))
    assert keys(pool.cut(99, 10**6)) == [(2, 1), (1, 6), (1, 7)]
    assert keys(pool.cut(99, 10**6)) == [(1, 8), (1, 9)], "client 2 waits for its answer, and will be back"
    for _ in range(CONTENDED_CUTS):
        pool.cut(0, 0)
    assert len(pool.cut(99, 10**6)) == 6
