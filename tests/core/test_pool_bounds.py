"""The pool of waiting requests at its very bounds, and what is counted when requests come and go."""

from __future__ import annotations

import pytest

from outvote.core import request_pool
from outvote.core.contract import Request
from outvote.core.request_pool import BYTES_MAX, PER_CLIENT_MAX, RECENT_PER_CLIENT_MAX, REQUESTS_MAX, RequestPool


def request(number: int, client: int = 7, acknowledged: int = 0, size: int = 1) -> Request:
    return Request(client, number, acknowledged, (bytes(size),), bytes(64))


def test_the_limits() -> None:
    assert PER_CLIENT_MAX == 64, "the client table's window"
    assert REQUESTS_MAX == 4096
    assert BYTES_MAX == 64 * 1024 * 1024
    assert RECENT_PER_CLIENT_MAX == 4 * PER_CLIENT_MAX


def test_a_request_counts_100_bytes_and_5_for_each_operation_besides_it() -> None:
    assert Request(7, 1, 0, (), bytes(64)).size_bytes() == 100
    assert Request(7, 1, 0, (b"abc", b""), bytes(64)).size_bytes() == 113


def test_a_place_becomes_free_when_a_request_leaves() -> None:
    pool = RequestPool()
    for number in range(1, PER_CLIENT_MAX + 1):
        assert pool.add(request(number))
    assert not pool.add(request(PER_CLIENT_MAX + 1))
    pool.mark_executed(request(3))
    assert pool.add(request(PER_CLIENT_MAX + 1))
    assert not pool.add(request(PER_CLIENT_MAX + 2))
    assert sizes(pool)["waiting requests of a client"] == PER_CLIENT_MAX


def test_requests_of_all_clients_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_pool, "REQUESTS_MAX", 3)
    pool = RequestPool()
    assert [pool.add(request(1, client)) for client in range(5)] == [True, True, True, False, False]
    pool.mark_executed(request(1, 0))
    assert pool.add(request(1, 3))


def test_bytes_are_bounded_to_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_pool, "BYTES_MAX", 3 * 106)
    pool = RequestPool()
    assert [pool.add(request(number)) for number in (1, 2, 3, 4)] == [True, True, True, False]
    pool.mark_executed(request(2))
    assert not pool.add(request(5, size=2))
    assert pool.add(request(5))


def test_a_batch_is_full_by_number_or_by_bytes() -> None:
    pool = RequestPool()
    assert not pool.fills(1, 1)
    pool.add(request(1))
    assert pool.fills(1, 10_000)
    assert not pool.fills(2, 107)
    assert pool.fills(2, 106)
    pool.add(request(2))
    assert pool.fills(2, 10_000)
    assert not pool.fills(3, 213)
    assert pool.fills(3, 212)
    pool.cut(1, 10_000)
    assert not pool.fills(2, 107), "only what is not proposed yet counts"
    assert not pool.fills(2, 200)
    assert pool.fills(2, 106)


def test_a_batch_is_cut_to_the_last_byte() -> None:
    pool = RequestPool()
    for number in (1, 2, 3):
        pool.add(request(number))
    assert len(pool.cut(9, 211)) == 1
    assert len(pool.cut(9, 212)) == 2
    assert not pool.has_unproposed()


def sizes(pool: RequestPool) -> dict[str, int]:
    return {name: held for name, held, _ in pool.sizes()}


def test_what_is_held_is_told_with_its_limits() -> None:
    pool = RequestPool()
    assert sizes(pool)["waiting requests of a client"] == 0
    for number in (1, 2, 3):
        pool.add(request(number))
    pool.add(request(1, client=8))
    pool.cut(1, 10_000)
    pool.mark_executed(request(9))
    pool.mark_executed(request(8))
    assert list(pool.sizes()) == [
        ("waiting requests", 4, REQUESTS_MAX),
        ("bytes of waiting requests", 4 * 106, BYTES_MAX),
        ("waiting requests of a client", 3, PER_CLIENT_MAX),
        ("requests to propose", 3, 4),
        ("executed numbers of a client", 2, RECENT_PER_CLIENT_MAX),
    ]
    for number in (1, 2, 3):
        pool.mark_executed(request(number))
    pool.mark_executed(request(1, client=8))
    assert list(pool.sizes())[:4] == [
        ("waiting requests", 0, REQUESTS_MAX),
        ("bytes of waiting requests", 0, BYTES_MAX),
        ("waiting requests of a client", 0, PER_CLIENT_MAX),
        ("requests to propose", 0, 0),
    ]


def test_acknowledging_forgets_executed_numbers_up_to_there_and_waiting_ones_of_that_client_only() -> None:
    pool = RequestPool()
    for number in (1, 2, 3, 4):
        pool.mark_executed(request(number))
    for number in (5, 6, 7):
        pool.add(request(number))
        pool.add(request(number, client=8))
    pool.mark_executed(request(9, acknowledged=6))
    assert [one.key for one in pool.waiting()] == [(8, 5), (8, 6), (7, 7), (8, 7)]
    assert sizes(pool)["executed numbers of a client"] == 1
    assert all(pool.executed(7, number) for number in range(1, 7))
    assert not pool.executed(7, 7)
    assert not pool.executed(8, 5)
    pool.mark_executed(request(10, acknowledged=3))
    assert pool.executed(7, 6), "never back"
    assert pool.add(request(8))


def test_a_client_cannot_acknowledge_the_request_that_says_so_or_later_ones() -> None:
    pool = RequestPool()
    pool.mark_executed(request(6, acknowledged=9))
    assert pool.executed(7, 5)
    assert pool.executed(7, 6), "because it was executed"
    assert not pool.executed(7, 7)


def test_what_is_acknowledged_never_falls() -> None:
    """A client that lies could acknowledge more than lies below its own number; an honest one never does."""
    pool = RequestPool()
    pool.mark_executed(request(8, acknowledged=6))
    pool.mark_executed(request(3, acknowledged=9))
    assert all(pool.executed(7, number) for number in range(1, 7))
    assert not pool.add(request(5))
    pool.mark_executed(request(4, acknowledged=6))
    assert pool.executed(7, 6)


def test_the_first_number_may_be_acknowledged_without_having_been_executed() -> None:
    pool = RequestPool()
    pool.mark_executed(request(2, acknowledged=1))
    assert pool.executed(7, 1)


def test_the_oldest_executed_numbers_are_forgotten_first() -> None:
    pool = RequestPool()
    for number in range(1, RECENT_PER_CLIENT_MAX + 3):
        pool.mark_executed(request(number))
    assert not pool.executed(7, 2)
    assert pool.executed(7, 3)


def test_nobody_begins_with_a_request_number_0() -> None:
    pool = RequestPool()
    assert pool.executed(7, 0)
    assert not pool.executed(7, 1)
