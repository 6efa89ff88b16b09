"""At most once, in order, and equal on every replica, whether it restarted from a snapshot or not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outvote.core.contract import Delivery, Request
from outvote.errors import Lie, Mistake
from outvote.machines import executor as executors
from outvote.machines.contract import Context
from outvote.machines.executor import Executor
from outvote.machines.machine import StateMachine, command, query
from outvote.machines.merkle_image import read_image
from outvote.machines.operations import FAILED, TOO_LARGE, decode_outcome, encode_operation, outcome_kind
from outvote.machines.sessions import KEPT_BYTES_MAX, Sessions
from outvote.wire.client_messages import OPERATIONS_MAX, OUTSTANDING_MAX, RESULT_BYTES_MAX, ReplyStatement

ALICE, BOB = 70000, 70001


class Tape(StateMachine):
    """Remembers what it was told, and by whom."""

    told: list[tuple[int, int]] = []  # noqa: RUF012 - copied for each instance

    @command
    def tell(self, word: int, context: Context) -> int:
        self.told.append((context.client, word))
        return len(self.told)

    @query
    def draw(self, context: Context) -> tuple[int, int, int, bytes]:
        return context.position, context.time_ns, context.client, context.random_bytes(8)

    @query
    def blob(self, size: int) -> bytes:
        return bytes(size)


class Undeclared(StateMachine):
    @command
    def go(self) -> None: ...

    def __init__(self) -> None:
        self.secret = 1


def tell(client: int, number: int, acknowledged: int = 0, word: int = 0) -> Request:
    return Request(client, number, acknowledged, (encode_operation("tell", [word]),), b"")


def deliver(executor: Executor, *requests: Request, time: int = 0) -> list[ReplyStatement]:
    return executor.deliver(Delivery(executor.position + 1, time, requests, 0, False))


def numbers(replies: Sequence[ReplyStatement]) -> list[int]:
    return [reply.number for reply in replies]


def told(executor: Executor) -> int:
    fresh = Executor(Tape())
    fresh.install(executor.checkpoint().state)
    return int(decode_outcome(deliver(fresh, tell(1 << 20, 1))[0].results[0], int)) - 1


def test_requests_are_executed_in_order_and_answered() -> None:
    executor = Executor(Tape())
    operations = tuple(encode_operation("tell", [word]) for word in range(3))
    first, second = deliver(executor, Request(ALICE, 1, 0, operations, b""), tell(BOB, 1))
    assert (first.client, first.number, first.position) == (ALICE, 1, 1)
    assert [decode_outcome(result, int) for result in first.results] == [1, 2, 3]
    assert decode_outcome(second.results[0], int) == 4
    assert executor.position == 1


def test_a_gap_is_an_assertion() -> None:
    executor = Executor(Tape())
    for position in (0, 2):
        with pytest.raises(AssertionError):
            executor.deliver(Delivery(position, 0, (), 0, False))


def test_a_repeated_request_is_not_executed_again_and_gets_the_kept_answer() -> None:
    executor = Executor(Tape())
    first, again = deliver(executor, tell(ALICE, 1), tell(ALICE, 1, word=9))
    assert again == first
    (later,) = deliver(executor, tell(ALICE, 1))
    assert later == first
    assert later.position == 1
    assert executor.cached(ALICE, 1) == first
    assert executor.cached(ALICE, 2) is None
    assert executor.cached(BOB, 1) is None
    assert executor.executed_already(ALICE, 1)
    assert not executor.executed_already(ALICE, 2)
    assert not executor.executed_already(BOB, 1)
    assert told(executor) == 1


def test_numbers_may_come_out_of_order_within_the_window() -> None:
    executor = Executor(Tape())
    assert numbers(deliver(executor, tell(ALICE, 3), tell(ALICE, 1), tell(ALICE, 2), tell(ALICE, 1))) == [3, 1, 2, 1]
    assert told(executor) == 3


def test_numbers_beyond_the_window_are_skipped() -> None:
    executor = Executor(Tape())
    wrong = (OUTSTANDING_MAX + 1, 0, -1, 1 << 60)
    assert deliver(executor, *(tell(ALICE, number) for number in wrong)) == []
    assert numbers(deliver(executor, tell(ALICE, OUTSTANDING_MAX))) == [OUTSTANDING_MAX]
    # Request 2 says that 1 is settled: the window moves to 65, and 1 is never executed.
    assert numbers(deliver(executor, tell(ALICE, 2, acknowledged=1), tell(ALICE, 65), tell(ALICE, 66))) == [2, 65]
    assert deliver(executor, tell(ALICE, 1)) == []
    assert executor.executed_already(ALICE, 1)
    assert told(executor) == 3


def test_acknowledging_forgets_answers_but_never_reaches_the_request_itself_nor_falls() -> None:
    executor = Executor(Tape())
    deliver(executor, *(tell(ALICE, number) for number in (1, 2, 3, 5)))
    deliver(executor, tell(ALICE, 4, acknowledged=1 << 50))
    assert [executor.cached(ALICE, number) is not None for number in (1, 2, 3, 4, 5)] == [False] * 3 + [True] * 2
    deliver(executor, tell(ALICE, 6, acknowledged=0))
    assert executor.executed_already(ALICE, 3)
    assert executor.cached(ALICE, 3) is None
    assert deliver(executor, tell(ALICE, 3)) == []
    assert deliver(executor, tell(ALICE, 3 + OUTSTANDING_MAX + 1)) == []
    assert told(executor) == 6


def test_a_client_process_that_began_anew_starts_far_above() -> None:
    executor = Executor(Tape())
    deliver(executor, tell(ALICE, 1), tell(ALICE, 2))
    far = 1 << 60
    assert deliver(executor, tell(ALICE, far)) == []  # without saying that all before is settled
    assert numbers(deliver(executor, tell(ALICE, far, acknowledged=far - 1), tell(ALICE, far + 1))) == [far, far + 1]
    assert deliver(executor, tell(ALICE, 3), tell(ALICE, 2)) == []
    twin = Executor(Tape())
    twin.install(executor.checkpoint().state)
    assert twin.checkpoint() == executor.checkpoint()
    assert told(executor) == 4


def test_a_row_does_not_depend_on_who_came_first() -> None:
    first, second = Sessions(), Sessions()
    answers = [(tell(client, 1), ReplyStatement(client, 1, 1, (b"x",))) for client in (BOB, ALICE)]
    for request, answer in answers:
        first.record(request, answer)
    for request, answer in reversed(answers):
        second.record(request, answer)
    assert [first.row(client) for client in (ALICE, BOB)] == [second.row(client) for client in (ALICE, BOB)]


def test_too_many_operations_are_not_executed() -> None:
    executor = Executor(Tape())
    operation = encode_operation("tell", [1])
    assert deliver(executor, Request(ALICE, 1, 0, (operation,) * (OPERATIONS_MAX + 1), b"")) == []
    (reply,) = deliver(executor, Request(ALICE, 1, 0, (operation,) * OPERATIONS_MAX, b""))
    assert len(reply.results) == OPERATIONS_MAX


def test_results_of_one_request_stay_within_their_budget() -> None:
    executor = Executor(Tape())
    blob = encode_operation("blob", [100_000])
    (reply,) = deliver(executor, Request(ALICE, 1, 0, (blob, blob, blob, encode_operation("blob", [5])) * 64, b""))
    assert [len(result) > 90_000 for result in reply.results[:4]] == [True, True, False, False]
    assert reply.results[2] == TOO_LARGE
    assert outcome_kind(TOO_LARGE) == FAILED
    assert decode_outcome(reply.results[3], bytes) == bytes(5)
    assert sum(map(len, reply.results)) <= RESULT_BYTES_MAX


def test_kept_answers_are_bounded_and_their_numbers_stay_known() -> None:
    executor, twin = Executor(Tape()), Executor(Tape())
    blob = encode_operation("blob", [RESULT_BYTES_MAX - 6000])
    for number in range(1, 9):
        deliver(executor, Request(ALICE, number, 0, (blob,), b""))
        twin.install(executor.checkpoint().state)
        assert twin.checkpoint() == executor.checkpoint()
    kept = [number for number in range(1, 9) if executor.cached(ALICE, number) is not None]
    assert kept == [5, 6, 7, 8]
    assert len(executor.checkpoint().data) < KEPT_BYTES_MAX + 10_000
    for replica in (executor, twin):  # the restored one must drop at the same moment
        deliver(replica, Request(ALICE, 9, 0, (blob,), b""))
    assert twin.checkpoint() == executor.checkpoint()
    deliver(
        executor, Request(ALICE, 10, 9, (blob,), b""), *(Request(ALICE, 10 + n, 9, (blob,), b"") for n in (1, 2, 3))
    )
    assert [number for number in range(1, 14) if executor.cached(ALICE, number) is not None] == [10, 11, 12, 13]
    before = executor.checkpoint().data
    assert deliver(executor, Request(ALICE, 1, 0, (blob,), b"")) == []
    assert executor.executed_already(ALICE, 1)
    assert len(executor.checkpoint().data) == len(before)


def test_agreed_time_never_stands_still_or_runs_backwards() -> None:
    executor = Executor(Tape())
    seen = []
    for number, time in enumerate((100, 100, 50, 200, -5), start=1):
        draw = Request(ALICE, number, 0, (encode_operation("draw", []),), b"")
        (reply,) = deliver(executor, draw, time=time)
        seen.append(decode_outcome(reply.results[0], tuple[int, int, int, bytes])[1])
    assert seen == [100, 101, 102, 200, 201]
    assert executor.time == 201


def test_randomness_differs_by_history_client_number_and_place() -> None:
    def drawn(*requests: Request, executor: Executor | None = None) -> list[bytes]:
        replies = deliver(executor or Executor(Tape()), *requests)
        return [decode_outcome(one, tuple[int, int, int, bytes])[3] for reply in replies for one in reply.results]

    draw = encode_operation("draw", [])
    both = drawn(
        Request(ALICE, 1, 0, (draw, draw), b""), Request(BOB, 1, 0, (draw,), b""), Request(ALICE, 2, 0, (draw,), b"")
    )
    assert len(set(both)) == 4
    assert drawn(Request(ALICE, 1, 0, (draw, draw), b"")) != both[:2], "whoever stands in the same batch counts"
    later = Executor(Tape())
    deliver(later)
    assert drawn(Request(ALICE, 1, 0, (draw,), b""), executor=later) != both[:1]


def test_history_tells_apart_what_was_done() -> None:
    histories = []
    for requests, time in (
        ((), 0),
        ((), 9),
        ((tell(ALICE, 1),), 0),
        ((tell(ALICE, 2),), 0),
        ((tell(BOB, 1),), 0),
        ((tell(ALICE, 1), tell(BOB, 1)), 0),
        ((tell(BOB, 1), tell(ALICE, 1)), 0),
        ((Request(ALICE, 1, 0, (encode_operation("blob", [1]),), b""),), 0),
    ):
        executor = Executor(Tape())
        deliver(executor, *requests, time=time)
        histories.append(executor.history)
        before = executor.history
        deliver(executor)
        assert executor.history != before
    assert len(set(histories)) == len(histories)


def test_a_class_that_cannot_be_written_down_is_refused_at_the_start() -> None:
    with pytest.raises(Mistake, match=r"self.secret"):
        Executor(Undeclared())


_requests = st.lists(
    st.builds(
        lambda client, number, acknowledged, words: Request(
            client, number, acknowledged, tuple(encode_operation("tell", [word]) for word in words), b""
        ),
        st.sampled_from([ALICE, BOB]),
        st.one_of(st.integers(1, 12), st.integers(60, 80)),
        st.integers(0, 12),
        st.lists(st.integers(0, 3), max_size=3),
    ),
    max_size=6,
)


@settings(max_examples=60)
@given(st.lists(_requests, max_size=12), st.integers(0, 11))
def test_a_replica_that_was_restored_goes_on_like_one_that_never_stopped(
    batches: list[list[Request]], cut: int
) -> None:
    straight, restored = Executor(Tape()), Executor(Tape())
    executed: dict[tuple[int, int], int] = {}
    for index, batch in enumerate(batches):
        if index == cut:
            image = restored.checkpoint()
            restored = Executor(Tape())
            restored.install(read_image(image.data))
        replies = deliver(straight, *batch, time=index)
        assert deliver(restored, *batch, time=index) == replies
        assert restored.history == straight.history
        for reply in replies:
            # At most once: a key has one position for ever.
            assert executed.setdefault((reply.client, reply.number), reply.position) == reply.position
    assert restored.checkpoint() == straight.checkpoint()


def test_a_snapshot_carries_everything_and_its_digest() -> None:
    executor, other = Executor(Tape()), Executor(Tape())
    deliver(executor, tell(ALICE, 1), time=77)
    snapshot = executor.checkpoint()
    assert snapshot.position == 1
    assert snapshot.digest == snapshot.state.digest
    other.install(read_image(snapshot.data))
    assert (other.position, other.time, other.history) == (1, 77, executor.history)
    assert other.cached(ALICE, 1) == executor.cached(ALICE, 1)
    assert other.checkpoint() == snapshot


def test_a_state_without_its_leaves_is_a_lie() -> None:
    executor = Executor(Tape())
    deliver(executor, tell(ALICE, 1))
    before = executor.checkpoint()
    for leaf in before.state.leaves():
        if leaf.key[2:3] != b"c":
            with pytest.raises(Lie):
                executor.install(before.state.update({leaf.key: None}))
    assert executor.checkpoint() == before


def test_the_client_table_goes_back_with_the_rest() -> None:
    executor = Executor(Tape())
    deliver(executor, tell(ALICE, 1))
    snapshot = executor.checkpoint()
    deliver(executor, tell(ALICE, 2), tell(BOB, 1))
    executor.rewind(snapshot)
    assert executor.position == 1
    assert not executor.executed_already(ALICE, 2)
    assert not executor.executed_already(BOB, 1)
    assert executor.executed_already(ALICE, 1)
    assert executor.checkpoint() == snapshot
    assert told(executor) == 1


def test_a_state_too_large_to_be_handed_over_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    executor = Executor(Tape())
    size = executor.checkpoint().state.size_bytes
    monkeypatch.setattr(executors, "STATE_BYTES_MAX", size)
    executor.checkpoint()
    deliver(executor, tell(ALICE, 1))
    with pytest.raises(Mistake, match="grown to"):
        executor.checkpoint()


def test_a_row_of_the_client_table_byte_for_byte() -> None:
    table = Sessions()
    for number in (2, 1):
        table.record(tell(ALICE, number), ReplyStatement(ALICE, number, 1, (b"x",)))
    assert table.row(ALICE) == b"\x92\x00\x92\x93\x02\x01\x91\xc4\x01x\x93\x01\x01\x91\xc4\x01x"


def draws(executor: Executor, *requests: Request) -> list[bytes]:
    replies = deliver(executor, *requests)
    return [decode_outcome(reply.results[0], tuple[int, int, int, bytes])[3] for reply in replies]


def draw(client: int, number: int, seal: bytes) -> Request:
    return Request(client, number, 0, (encode_operation("draw", []),), seal)


def test_chance_follows_from_the_seals_of_all_who_are_executed_together() -> None:
    """So who knows the state and not the requests cannot tell it; and the order within a batch is no choice."""
    alone = draws(Executor(Tape()), draw(ALICE, 1, b"a"))
    assert alone == draws(Executor(Tape()), draw(ALICE, 1, b"a"))
    assert alone != draws(Executor(Tape()), draw(ALICE, 1, b"b"))
    together = draws(Executor(Tape()), draw(ALICE, 1, b"a"), draw(BOB, 1, b"b"))
    assert together[0] != alone[0]
    assert together[::-1] == draws(Executor(Tape()), draw(BOB, 1, b"b"), draw(ALICE, 1, b"a"))


def test_the_primary_has_no_say_in_chance_by_the_times_that_it_proposes() -> None:
    """It holds a request back, tries times for the batch before, and proposes the one whose outcome it likes."""
    outcomes = set()
    for nanoseconds in range(100):
        executor = Executor(Tape())
        executor.deliver(Delivery(1, 1000 + nanoseconds, (draw(ALICE, 1, b"a"),), 0, False))  # answers with the time
        assert executor.time == 1000 + nanoseconds
        outcomes.update(draws(executor, draw(BOB, 1, b"b")))
    assert len(outcomes) == 1


def test_batches_that_execute_nothing_do_not_move_chance_on() -> None:
    """Or a primary could propose what has run, again and again, until it likes what comes of the next."""
    first, second = Executor(Tape()), Executor(Tape())
    for executor in (first, second):
        deliver(executor, tell(ALICE, 1))
    for _ in range(3):
        deliver(second, tell(ALICE, 1))
    assert draws(first, draw(BOB, 1, b"b")) == draws(second, draw(BOB, 1, b"b"))


def test_chance_survives_a_snapshot() -> None:
    first, second = Executor(Tape()), Executor(Tape())
    deliver(first, tell(ALICE, 1))
    second.install(first.checkpoint().state)
    assert draws(first, draw(BOB, 1, b"b")) == draws(second, draw(BOB, 1, b"b"))


def test_what_has_run_before_is_no_choice_for_who_cuts_the_batch() -> None:
    first, second = Executor(Tape()), Executor(Tape())
    for executor in (first, second):
        deliver(executor, tell(ALICE, 1))
    assert draws(first, draw(BOB, 1, b"b")) == draws(second, draw(BOB, 1, b"b"))
    third = Executor(Tape())
    deliver(third, tell(ALICE, 1))
    replies = deliver(third, draw(BOB, 1, b"b"), tell(ALICE, 1))
    fourth = Executor(Tape())
    deliver(fourth, tell(ALICE, 1))
    assert replies[0].results == deliver(fourth, draw(BOB, 1, b"b"))[0].results


def test_the_same_requests_at_another_place_draw_something_else() -> None:
    early, late = Executor(Tape()), Executor(Tape())
    deliver(late, tell(ALICE, 1))
    assert draws(early, draw(BOB, 1, b"b")) != draws(late, draw(BOB, 1, b"b"))
