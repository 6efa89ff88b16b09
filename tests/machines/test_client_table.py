"""The table of clients at its bounds, and through a snapshot: what was executed once stays executed."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from outvote.core.contract import Delivery, Request
from outvote.errors import Lie
from outvote.machines import executor as executors
from outvote.machines.contract import Context
from outvote.machines.executor import SNAPSHOT_VERSION, Executor
from outvote.machines.leaves import HEADER, Draft, read
from outvote.machines.machine import StateMachine, command
from outvote.machines.merkle_map import MerkleMap
from outvote.machines.operations import TOO_LARGE, encode_operation
from outvote.machines.sessions import KEPT_BYTES_MAX, Sessions
from outvote.wire.client_messages import OPERATIONS_MAX, OUTSTANDING_MAX, RESULT_BYTES_MAX, ReplyStatement

ALICE, BOB = 70000, 70001


def request(number: int, acknowledged: int = 0, client: int = ALICE) -> Request:
    return Request(client, number, acknowledged, (), b"")


def record(table: Sessions, number: int, size: int = 1, acknowledged: int = 0, client: int = ALICE) -> None:
    table.record(request(number, acknowledged, client), ReplyStatement(client, number, number * 10, (bytes(size),)))


def kept(table: Sessions) -> list[int]:
    return [number for number in range(1, 80) if table.cached(ALICE, number) is not None]


def held(table: Sessions) -> list[tuple[str, int, int]]:
    return list(table.sizes())


def test_the_limit_of_kept_results_is_a_megabyte_a_client() -> None:
    assert KEPT_BYTES_MAX == 1024 * 1024


def test_results_are_kept_up_to_the_last_byte_and_the_oldest_go_first() -> None:
    table = Sessions()
    half = KEPT_BYTES_MAX // 2
    for number in (3, 1):
        record(table, number, half)
    assert kept(table) == [1, 3]
    assert held(table) == [
        ("executed requests of a client", 2, OUTSTANDING_MAX),
        ("bytes of results of a client", KEPT_BYTES_MAX, KEPT_BYTES_MAX),
    ]
    record(table, 2, 1)
    assert kept(table) == [1, 2], "3 was executed first"
    assert held(table)[1][1] == half + 1
    record(table, 4, half)
    assert kept(table) == [2, 4]
    record(table, 5, 0)
    assert kept(table) == [2, 4, 5], "and no more go than must"
    assert not table.executable(request(3))
    assert table.executed_already(ALICE, 3)


def test_acknowledged_results_make_room() -> None:
    table = Sessions()
    record(table, 1, 100)
    record(table, 2, 200)
    record(table, 3, 400, acknowledged=1)
    assert held(table)[1][1] == 600
    record(table, 4, 800, acknowledged=9)
    assert held(table)[1][1] == 800, "up to number - 1 at most"
    assert table.low_marks() == {ALICE: 3}
    record(table, 5, 0, acknowledged=1)
    assert table.low_marks() == {ALICE: 3}, "it never falls"


def test_a_negative_acknowledgement_acknowledges_nothing() -> None:
    table = Sessions()
    record(table, 1, acknowledged=-5)
    assert table.low_marks() == {ALICE: 0}


def test_a_dropped_result_that_is_acknowledged_takes_no_room_away() -> None:
    table = Sessions()
    record(table, 1, KEPT_BYTES_MAX)
    record(table, 2, 7)
    assert kept(table) == [2]
    record(table, 3, 1, acknowledged=1)
    assert held(table)[1][1] == 8


def test_numbers_whose_results_were_dropped_stay_executed_through_a_snapshot() -> None:
    table = Sessions()
    for number in (1, 2, 3):
        record(table, number, KEPT_BYTES_MAX // 2)
    assert kept(table) == [2, 3]
    again = Sessions()
    again.take_row(ALICE, table.row(ALICE))
    assert again.row(ALICE) == table.row(ALICE)
    assert not again.executable(request(1))
    assert again.executed_already(ALICE, 1)
    assert again.cached(ALICE, 1) is None
    assert again.cached(ALICE, 2) == table.cached(ALICE, 2)
    assert held(again) == held(table)
    record(again, 4, 1)
    assert kept(again) == [3, 4], "the bytes are counted as before"


def test_the_window_of_a_client_is_open_from_its_low_mark_on() -> None:
    table = Sessions()
    assert not table.executable(request(0))
    assert table.executable(request(OUTSTANDING_MAX))
    assert not table.executable(request(OUTSTANDING_MAX + 1))
    assert table.executable(request(OUTSTANDING_MAX + 1, acknowledged=1))
    assert table.executable(request(900, acknowledged=899))
    assert table.executable(request(900, acknowledged=5000)), "it acknowledges at most what lies below it"
    record(table, 900, acknowledged=899)
    assert not table.executable(request(899))
    assert not table.executable(request(900))
    assert table.executable(request(901))
    assert table.executed_already(ALICE, 899)
    assert not table.executed_already(ALICE, 901)
    assert not table.executed_already(BOB, 1)


def row_of(low: int, executed: Sequence[tuple[int, int, tuple[bytes, ...] | None]]) -> bytes:
    return msgspec.msgpack.encode((low, executed))


FULL = [(number, 1, None) for number in range(1, OUTSTANDING_MAX + 1)]


@pytest.mark.parametrize(
    ("data", "readable"),
    [
        (row_of(0, []), True),
        (row_of(-1, []), False),
        (row_of(-2, []), False),
        (row_of(0, FULL), True),
        (row_of(0, [*FULL, (1, 1, None)]), False),
        (row_of(5, [(5, 1, None)]), False),
        (row_of(5, [(6, 1, None)]), True),
        (row_of(5, [(5 + OUTSTANDING_MAX, 1, None)]), True),
        (row_of(5, [(6 + OUTSTANDING_MAX, 1, None)]), False),
        (row_of(5, [(6, 1, None), (6, 2, (b"x",))]), False),
    ],
)
def test_only_a_possible_row_is_read(data: bytes, readable: bool) -> None:
    table = Sessions()
    if readable:
        table.take_row(ALICE, data)
        assert table.row(ALICE) == data
        return
    with pytest.raises(Lie, match="a client table with an impossible"):
        table.take_row(ALICE, data)
    assert table.low_marks() == {}


def test_what_is_no_row_is_a_lie() -> None:
    with pytest.raises(Lie, match="cannot be read"):
        Sessions().take_row(ALICE, b"\xc0")


def test_a_row_can_go_and_each_change_is_told_once() -> None:
    table = Sessions()
    record(table, 1)
    record(table, 2)
    record(table, 1, client=BOB)
    assert table.touched() == [ALICE, BOB]
    assert table.touched() == []
    table.take_row(BOB, None)
    table.take_row(BOB, None)
    assert table.low_marks() == {ALICE: 0}
    assert table.touched() == [], "what was read back is written down already"


# ---------------------------------------------------------------------- the executor around it


class Sizes(StateMachine):
    seeds: list[bytes] = []  # noqa: RUF012 - copied for each instance

    @command
    def blob(self, size: int) -> bytes:
        return bytes(size)

    @command
    def seed(self, context: Context) -> bytes:
        return context.random_bytes(8)


def deliver(executor: Executor, number: int, *operations: bytes, time: int = 0) -> tuple[bytes, ...]:
    (reply,) = executor.deliver(
        Delivery(executor.position + 1, time, (Request(ALICE, number, 0, operations, b""),), 0, False)
    )
    return reply.results


def test_a_budget_is_used_to_its_last_byte() -> None:
    """The rest is room for the refusals themselves: 256 of them at 17 bytes."""
    budget = RESULT_BYTES_MAX - OPERATIONS_MAX * len(TOO_LARGE)
    assert budget == executors._BUDGET_BYTES
    assert len(TOO_LARGE) == 17
    overhead = len(deliver(Executor(Sizes()), 1, encode_operation("blob", [70_000]))[0]) - 70_000
    exact = encode_operation("blob", [budget - overhead])
    nothing = encode_operation("blob", [0])
    one = Executor(Sizes())
    assert len(deliver(one, 1, exact)[0]) == budget
    results = deliver(one, 2, exact, nothing)
    assert [len(result) == budget for result in results] == [True, False]
    assert results[1] == TOO_LARGE
    larger = encode_operation("blob", [budget - overhead + 1])
    results = deliver(one, 3, larger, exact)
    assert results[0] == TOO_LARGE
    assert len(results[1]) == budget, "what was refused does not count"


def test_agreed_time_begins_at_1() -> None:
    executor = Executor(Sizes())
    assert executor.time == 0
    deliver(executor, 1, encode_operation("blob", [0]), time=-5)
    assert executor.time == 1


SEEDS = ["9200c408010a34ff3da720ae", "9200c4081f45136b34d0ef3f"]


def test_the_seed_is_the_same_in_every_release() -> None:
    """Replicas of two releases run side by side during an upgrade, and must draw the same bytes."""
    executor = Executor(Sizes())
    draw = encode_operation("seed", [])
    first = deliver(executor, 1, draw, draw)
    assert first == deliver(Executor(Sizes()), 1, draw, draw)
    assert [result.hex() for result in first] == SEEDS


def a_state(**changes: object) -> MerkleMap:
    state = Executor(Sizes()).checkpoint().state
    header = dict(zip(("version", "position", "history", "time", "chance"),
                      msgspec.msgpack.decode(read(state, HEADER) or b""), strict=True))  # fmt: skip
    draft = Draft(state, {})
    draft.write(HEADER, msgspec.msgpack.encode([*{**header, **changes}.values()]))
    return draft.done()


@pytest.mark.parametrize(
    "changes",
    [{"version": SNAPSHOT_VERSION + 1}, {"history": bytes(31)}, {"history": bytes(33)}, {"chance": b""}],
)
def test_a_snapshot_of_another_form_is_a_lie(changes: dict[str, object]) -> None:
    Executor(Sizes()).install(a_state())
    with pytest.raises(Lie, match="this program reads version 3"):
        Executor(Sizes()).install(a_state(**changes))
