"""The linearizability checker: histories from the literature, planted faults, and a brute force beside it."""

from __future__ import annotations

import random
from collections.abc import Hashable
from itertools import chain, combinations, permutations
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outvote.simulator.checkers.linearizability import UNKNOWN, Model, Operation, Outcome, check
from outvote.simulator.checkers.sequential_models import (
    REFUSED,
    Add,
    Balance,
    CompareAndSet,
    CounterModel,
    Delete,
    Deposit,
    Get,
    KeyState,
    KeyValueModel,
    LedgerModel,
    Put,
    Read,
    RegisterModel,
    Transfer,
    Write,
    versions_in_order,
)

REGISTER = RegisterModel()
STORE = KeyValueModel()
COUNTER = CounterModel()


def seen(client: int, call: int, returned: int | None, what: Hashable, result: object = None) -> Operation:
    return Operation(client, call, returned, what, UNKNOWN if returned is None else result)


# Classic histories of one register


def test_nothing_happened() -> None:
    assert check([], REGISTER).ok


def test_a_read_may_see_the_value_before_or_during_a_write() -> None:
    write = seen(1, 0, 100, Write(1))
    for value in (None, 1):
        assert check([write, seen(2, 10, 20, Read(), value)], REGISTER).ok


def test_two_reads_during_a_write_may_not_go_back_in_time() -> None:
    """The new value, then the old one: Herlihy and Wing's example of what a regular register allows."""
    history = [
        seen(1, 0, 100, Write(1)),
        seen(2, 10, 20, Read(), 1),
        seen(3, 30, 40, Read(), None),
    ]
    verdict = check(history, REGISTER)
    assert verdict.outcome is Outcome.VIOLATED
    assert verdict.window[-1] == history[2]
    assert check([history[0], history[2], history[1]._replace(call=50, returned=60)], REGISTER).ok


def test_a_stale_read_is_found() -> None:
    history = [
        seen(1, 0, 1, Write("old")),
        seen(1, 2, 3, Write("new")),
        seen(2, 4, 5, Read(), "old"),
    ]
    verdict = check(history, REGISTER)
    assert verdict.outcome is Outcome.VIOLATED
    assert "no order explains that [4 .. 5] client 2: Read() -> 'old'" in verdict.text
    assert "can lead to: 'new'" in verdict.text


def test_times_that_touch_count_as_concurrent() -> None:
    history = [seen(1, 0, 5, Write(1)), seen(2, 5, 6, Read(), None)]
    assert check(history, REGISTER).ok
    assert not check([history[0], history[1]._replace(call=6)], REGISTER).ok


def test_a_write_of_unknown_outcome_may_happen_late_or_never_but_only_once() -> None:
    base = [seen(1, 0, None, Write(7)), seen(2, 1, 2, Write(8))]
    assert check([*base, seen(3, 10, 11, Read(), 8)], REGISTER).ok
    assert check([*base, seen(3, 10, 11, Read(), 8), seen(3, 12, 13, Read(), 7)], REGISTER).ok
    again = [*base, seen(3, 10, 11, Read(), 7), seen(2, 12, 13, Write(8)), seen(3, 14, 15, Read(), 7)]
    assert check(again, REGISTER).outcome is Outcome.VIOLATED


def test_an_operation_of_unknown_outcome_cannot_happen_before_its_call() -> None:
    history = [seen(2, 0, 1, Read(), 7), seen(1, 2, None, Write(7))]
    assert check(history, REGISTER).outcome is Outcome.VIOLATED


def test_the_window_is_the_end_of_the_shortest_bad_prefix() -> None:
    good = [seen(1, 10 * i, 10 * i + 5, Write(i)) for i in range(50)]
    bad = seen(2, 501, 502, Read(), 3)
    later = [seen(1, 600 + 10 * i, 605 + 10 * i, Write(i)) for i in range(50)]
    verdict = check([*later, *good, bad], REGISTER)
    assert verdict.window[-1] == bad
    assert set(verdict.window) <= {*good, bad}
    assert len(verdict.text.splitlines()) < 20


def test_a_return_before_its_call_is_no_history() -> None:
    with pytest.raises(ValueError, match="cannot return before its call"):
        check([seen(1, 5, 4, Read())], REGISTER)


def test_giving_up_is_not_a_verdict() -> None:
    writes = [seen(i, 0, 100, Write(i)) for i in range(12)]
    impossible = seen(99, 200, 201, Read(), "never written")
    assert check([*writes, impossible], REGISTER, limit=100).outcome is Outcome.UNDECIDED
    small = check([*writes[:6], impossible], REGISTER)
    assert small.outcome is Outcome.VIOLATED
    assert small.window[-1] == impossible


def test_a_violation_outweighs_giving_up_on_another_key() -> None:
    blind = [seen(i, 0, 100, Put("a", i), 99) for i in range(12)]
    guesses = [seen(i, 0, None, Put("a", i)) for i in range(12)]
    assert check([*blind, *guesses], STORE, limit=10).outcome is Outcome.UNDECIDED
    lost = seen(1, 0, 1, Get("b"), ("x", 1))
    verdict = check([*blind, *guesses, lost], STORE, limit=10)
    assert verdict.outcome is Outcome.VIOLATED
    assert verdict.window == (lost,)


# The store, the counter, the ledger


def test_the_store_in_sequence() -> None:
    results: list[tuple[Hashable, object]] = [
        (Get("k"), None),
        (Put("k", "a"), 1),
        (Get("k"), ("a", 1)),
        (CompareAndSet("k", 2, "b"), None),
        (CompareAndSet("k", 1, "b"), 5),
        (Get("k"), ("b", 5)),
        (Delete("k"), True),
        (Delete("k"), False),
        (Get("k"), None),
        (CompareAndSet("k", 5, "c"), None),
        (CompareAndSet("k", 0, "c"), 7),
    ]
    history = [seen(1, 2 * i, 2 * i + 1, operation, result) for i, (operation, result) in enumerate(results)]
    assert check(history, STORE).ok
    for position, entry in enumerate(history):
        wrong = [*history]
        wrong[position] = entry._replace(result="another")
        assert check(wrong, STORE).window[-1] == wrong[position]


def test_the_version_of_a_write_of_unknown_outcome_is_learned_once() -> None:
    history = [
        seen(1, 0, 1, Put("k", "a"), 3),
        seen(2, 2, None, Put("k", "b")),
        seen(3, 4, 5, Get("k"), ("b", 8)),
        seen(3, 6, 7, CompareAndSet("k", 8, "c"), 9),
    ]
    assert check(history, STORE).ok
    assert not check([*history[:2], seen(3, 4, 5, Get("k"), ("b", 2))], STORE).ok
    assert not check([*history[:3], seen(3, 6, 7, Get("k"), ("b", 9))], STORE).ok
    assert not check([*history[:3], seen(3, 6, 7, CompareAndSet("k", 8, "c"), None)], STORE).ok
    assert check([*history[:2], seen(3, 4, 5, CompareAndSet("k", 8, "c"), 9)], STORE).ok


def test_a_read_that_teaches_a_version_is_not_taken_for_granted() -> None:
    """Both writes are the same; the read that returns first saw the second one."""
    history = [
        seen(1, 0, None, Put("k", "x")),
        seen(2, 0, None, Put("k", "x")),
        seen(3, 5, 8, Get("k"), ("x", 9)),
        seen(4, 5, 9, Get("k"), ("x", 5)),
    ]
    assert check(history, STORE).ok


def test_versions_are_ordered_over_all_keys() -> None:
    """Each key alone is fine; together the second write was numbered before the first."""
    history = [seen(1, 0, 1, Put("a", "x"), 5), seen(2, 2, 3, Put("b", "x"), 4)]
    assert check(history, STORE).ok
    assert "version 5 was given at 1, before" in versions_in_order(history)
    assert versions_in_order([history[0], history[1]._replace(call=1)]) == ""
    assert "both given version 5" in versions_in_order([history[0], history[1]._replace(result=5)])


def test_a_lost_update_is_found() -> None:
    """Two clients set the same version and both are told that they won."""
    history = [
        seen(1, 0, 1, Put("k", "a"), 1),
        seen(1, 2, 10, CompareAndSet("k", 1, "b"), 2),
        seen(2, 3, 11, CompareAndSet("k", 1, "c"), 2),
    ]
    verdict = check(history, STORE)
    assert verdict.outcome is Outcome.VIOLATED
    assert verdict.text.startswith("key 'k': ")
    assert check([*history[:2], history[2]._replace(result=None)], STORE).ok


def test_a_request_executed_twice_is_found() -> None:
    history = [
        seen(1, 0, 1, Add(5), 5),
        seen(2, 2, None, Add(5)),
        seen(1, 3, 4, Add(0), 10),
        seen(1, 5, 6, Add(0), 15),
    ]
    verdict = check(history, COUNTER)
    assert verdict.outcome is Outcome.VIOLATED
    assert verdict.window[-1] == history[3]
    assert check([*history, seen(3, 2, None, Add(5))], COUNTER).ok


def test_a_double_spend_is_found() -> None:
    ledger = LedgerModel({"ann": 0, "bob": 0, "cyd": 0})
    opening = seen(1, 0, 1, Deposit("ann", 10), 10)
    to_bob = seen(1, 2, 5, Transfer("ann", "bob", 10), 0)
    to_cyd = seen(2, 3, 6, Transfer("ann", "cyd", 10), 0)
    assert check([opening, to_bob, to_cyd], ledger).outcome is Outcome.VIOLATED
    refused = to_cyd._replace(result=REFUSED)
    assert check([opening, to_bob, refused, seen(3, 7, 8, Balance("cyd"), 0)], ledger).ok
    assert not check([opening, to_bob, refused, seen(3, 7, 8, Balance("cyd"), 10)], ledger).ok
    assert check([seen(3, 7, 8, Balance("nobody"), REFUSED)], ledger).ok


@pytest.mark.parametrize("model", [STORE, REGISTER, COUNTER, LedgerModel({})])
def test_a_foreign_operation_is_refused(model: Model[Hashable]) -> None:
    with pytest.raises(TypeError, match="not an operation of the"):
        check([seen(1, 0, 1, "nonsense")], model)


# Size


Plan: TypeAlias = tuple[int, int, int, int, Hashable, bool, bool]  # effect, call, return, client, ..., lost, never


def long_history(operations: int, keys: int, clients: int, seed: int) -> list[Operation]:
    """What a correct store would have answered: each operation takes effect at an instant within. One
    in fifty loses its answer, half of those without having happened."""
    choose = random.Random(seed)
    free_at = [0] * clients
    planned: list[Plan] = []
    for number in range(operations):
        client = min(range(clients), key=free_at.__getitem__)
        call = free_at[client] + choose.randrange(5)
        effect = call + choose.randrange(1, 200)
        returned = effect + choose.randrange(1, 200)
        free_at[client] = returned + 1
        key = f"k{min(choose.randrange(keys), choose.randrange(keys))}"
        conditional = CompareAndSet(key, choose.randrange(9), number)
        operation: Hashable = choose.choice((Get(key), Get(key), Put(key, number), conditional, Delete(key)))
        lost = choose.randrange(50) == 0
        planned.append((effect, call, returned, client, operation, lost, lost and choose.randrange(2) == 0))
    states: dict[str, KeyState] = {}
    history: list[Operation] = []
    for version, (_, call, returned, client, operation, lost, never) in enumerate(sorted(planned, key=instant), 1):
        key = str(STORE.key(operation))
        state = states.setdefault(key, STORE.initial())
        result = answer(state, operation, version)
        if not never:
            states[key] = STORE.step(state, operation, result)[1]
        history.append(seen(client, call, None if lost else returned, operation, result))
    return history


def instant(plan: Plan) -> int:
    return plan[0]


def answer(state: KeyState, operation: Hashable, version: int) -> object:
    candidates = (None, True, False, (state.value, state.version), version)
    return next(candidate for candidate in candidates if STORE.step(state, operation, candidate)[0])


def test_twenty_thousand_operations_of_sixteen_clients() -> None:
    history = long_history(20_000, keys=40, clients=16, seed=1)
    verdict = check(history, STORE)
    assert verdict.ok, verdict.text
    assert verdict.configurations < 200_000
    assert versions_in_order(history) == ""


@pytest.mark.parametrize("seed", range(5))
def test_one_wrong_answer_among_two_thousand_is_found_where_it_is(seed: int) -> None:
    history = long_history(2_000, keys=10, clients=16, seed=seed)
    gets = [i for i, entry in enumerate(history) if isinstance(entry.operation, Get) and entry.returned]
    place = gets[len(gets) // 2]
    history[place] = history[place]._replace(result=("made up", 10_000))
    verdict = check(history, STORE)
    assert verdict.outcome is Outcome.VIOLATED
    assert verdict.window[-1] == history[place]


# Against definitions


@st.composite
def accepted_histories(draw: st.DrawFn) -> list[Operation]:
    """A sequential execution whose intervals were stretched at random around each instant."""
    steps = draw(st.lists(st.integers(-2, 3), max_size=25))
    total, history = 0, []
    for instant, amount in enumerate(steps):
        total += amount
        early, late = draw(st.integers(0, 60)), draw(st.integers(0, 60))
        known = draw(st.booleans())
        at = 10 * instant
        history.append(seen(instant, at - early, at + late if known else None, Add(amount), total))
    return draw(st.permutations(history))


@settings(max_examples=150, deadline=None)
@given(accepted_histories())
def test_stretched_sequential_executions_are_accepted(history: list[Operation]) -> None:
    verdict = check(history, COUNTER)
    assert verdict.ok, verdict.text


def brute_force(history: list[Operation], model: Model[Hashable]) -> bool:
    """The definition: some of the unknown ones, some order, real time respected, every result right."""
    completed = [entry for entry in history if entry.returned is not None]
    unknown = [entry for entry in history if entry.returned is None]
    subsets = chain.from_iterable(combinations(unknown, size) for size in range(len(unknown) + 1))
    return any(
        legal(order, model) for subset in subsets for order in permutations((*completed, *subset))
    )


def legal(order: tuple[Operation, ...], model: Model[Hashable]) -> bool:
    state = model.initial()
    latest_call = -1
    for entry in order:
        if entry.returned is not None and entry.returned < latest_call:
            return False
        latest_call = max(latest_call, entry.call)
        fits, state = model.step(state, entry.operation, entry.result)
        if not fits:
            return False
    return True


@st.composite
def tiny_histories(draw: st.DrawFn) -> list[Operation]:
    history = []
    for client in range(draw(st.integers(1, 5))):
        call = draw(st.integers(0, 8))
        returned = draw(st.one_of(st.none(), st.integers(call, 10)))
        value = draw(st.integers(0, 1))
        if draw(st.booleans()):
            history.append(seen(client, call, returned, Write(value), None))
        else:
            history.append(seen(client, call, returned, Read(), draw(st.sampled_from((None, 0, 1)))))
    return history


@settings(max_examples=400, deadline=None)
@given(tiny_histories())
def test_verdicts_agree_with_the_definition(history: list[Operation]) -> None:
    verdict = check(history, REGISTER)
    assert verdict.ok == brute_force(history, REGISTER)
    if verdict.outcome is Outcome.VIOLATED:
        until = verdict.window[-1].returned
        assert until is not None
        before = [
            entry if entry.returned is not None and entry.returned < until else entry._replace(returned=None)
            for entry in history
            if entry.call <= until
        ]
        before = [entry if entry.returned is not None else entry._replace(result=UNKNOWN) for entry in before]
        assert brute_force(before, REGISTER), "the window ends later than it need"
