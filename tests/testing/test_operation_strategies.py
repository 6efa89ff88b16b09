"""Sequences of calls and faults, made by Hypothesis from a class's own types."""

from __future__ import annotations

import enum
import sys
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from users_machines import Bank, Lottery

from outvote import Mistake, Refused, StateMachine, command
from outvote.testing import (
    Call,
    Corrupt,
    Crash,
    Heal,
    Partition,
    Restart,
    Step,
    operations,
    run_sequence,
    simulated_cluster,
)
from outvote.testing.strategies import FAULT_STEPS

ACCOUNTS = st.sampled_from(["ann", "bob"])
GENERATED = settings(database=None, phases=[Phase.generate])
QUICK = settings(max_examples=15, deadline=None, derandomize=True, database=None)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Point:
    x: int
    y: int | None


class Tree(msgspec.Struct):
    label: str
    children: list[Tree]


class Leaf(msgspec.Struct, array_like=True, tag="leaf"):
    size: Annotated[int, msgspec.Meta(multiple_of=3)]


class Everything(StateMachine, floats=True):
    """A parameter of each kind."""

    seen: int = 0

    @command
    def scalars(
        self, flag: bool, number: int, real: Annotated[float, msgspec.Meta(gt=0, lt=1)], text: str, data: bytes,
        exact: Decimal, key: UUID, day: date, moment: datetime, hour: time, length: timedelta, colour: Colour,
        word: Literal["x", 7], nothing: None,
    ) -> None:
        self.seen += 1

    @command
    def containers(
        self, items: list[int], pair: tuple[int, str], row: tuple[bool, ...], bag: set[int], table: dict[str, Point],
        tree: Tree, either: Leaf | None, code: Annotated[str, msgspec.Meta(pattern="^[a-f]{3}$")],
        few: Annotated[list[str], msgspec.Meta(min_length=2, max_length=3)],
        moment: Annotated[datetime, msgspec.Meta(tz=True)], last: int = 5,
    ) -> None:
        self.seen += 1


@given(steps=operations(Everything, max_size=3))
@settings(QUICK, max_examples=8, suppress_health_check=[HealthCheck.too_slow])
def test_every_type_has_values(steps: list[Step]) -> None:
    with simulated_cluster(Everything) as cluster:
        assert run_sequence(cluster, steps) == [None] * len(steps)


@given(steps=operations(Bank, values={"account": ACCOUNTS}, faults=FAULT_STEPS, max_size=12))
@QUICK
def test_a_good_class_survives_everything(steps: list[Step]) -> None:
    with simulated_cluster(Bank) as cluster:
        results = run_sequence(cluster, steps)
    calls = [step for step in steps if isinstance(step, Call)]
    assert len(results) == len(calls)
    assert all(isinstance(result, int | Refused) for result in results)


@given(steps=operations(Lottery, only=["draw"], max_size=4))
@QUICK
def test_only_some_commands_are_called(steps: list[Step]) -> None:
    calls = [step for step in steps if isinstance(step, Call)]
    assert len(calls) == len(steps)
    assert {call.name for call in calls} <= {"draw"}
    assert all(1 <= call.arguments[0] <= 100 for call in calls)


def test_a_failure_shrinks_to_one_call_without_faults() -> None:
    def fails(steps: list[Step]) -> bool:
        with simulated_cluster(Bank, behaviours="none") as cluster:
            return any(isinstance(result, int) and result > 10 for result in run_sequence(cluster, steps))

    strategy = operations(Bank, values={"account": st.just("ann")}, faults=["crash"], max_size=3)
    assert find(strategy, fails, settings=settings(QUICK, max_examples=50)) == [Call("deposit", ("ann", 11), 0, True)]


def holds(kind: type[Step], steps: list[Step]) -> bool:
    return any(isinstance(one, kind) for one in steps)


def test_each_kind_of_fault_is_made() -> None:
    kinds: dict[str, type[Step]] = {
        "crash": Crash, "restart": Restart, "partition": Partition, "heal": Heal, "corrupt": Corrupt,
    }  # fmt: skip
    assert set(kinds) == set(FAULT_STEPS)
    for name, kind in kinds.items():
        found = find(operations(Bank, faults=[name]), partial(holds, kind), settings=GENERATED)
        assert holds(kind, found)


def test_a_sequence_step_by_step() -> None:
    steps: list[Step] = [
        Call("deposit", ("ann", 5)), Crash(0), Call("deposit", ("ann", 2), client=1), Partition((1,)),
        Call("deposit", ("ann", -1), client=2), Heal(), Restart(0), Corrupt(1, "silent"), Corrupt(2, "silent"),
        Corrupt(1, "replay"), Call("balance", ("ann",), wait=False),
    ]
    with simulated_cluster(Bank, behaviours="none") as cluster:
        first, second, refused, balance = run_sequence(cluster, steps)
        assert cluster.liars == {1: "replay"}
    assert (first, second, balance) == (5, 7, 7)
    assert isinstance(refused, Refused)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"only": ["deposits"]}, "did you mean 'deposit'"),
        ({"values": {"acount": ACCOUNTS}}, "Bank has no parameter 'acount': it has deposit.account, deposit.amount"),
        ({"values": {"balance.amount": ACCOUNTS}}, "Bank has no parameter 'balance.amount'"),
        ({"faults": ["rain"]}, "there is no fault step 'rain': choose from crash"),
    ],
)
def test_names_that_do_not_exist_are_mistakes(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Mistake, match=sentence):
        operations(Bank, **arguments)


def test_without_hypothesis_a_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(Mistake, match="pip install hypothesis"):
        operations(Bank)
