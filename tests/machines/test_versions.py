"""Several implementations of one machine: which may stand for each other, and what the cluster makes of their bugs."""

from __future__ import annotations

import pytest

from outvote.core.committee import Committee
from outvote.errors import Mistake
from outvote.host.inline import InlineCluster
from outvote.machines.machine import StateMachine, command, query
from outvote.machines.versions import check_interchangeable
from outvote.protocols.catalogue import PBFT


class Tally(StateMachine):
    total: int = 0

    @command
    def add(self, amount: int) -> int:
        self.total += amount
        return self.total


class OtherTally(StateMachine, derived=("calls",)):
    total: int = 0
    calls: int = 0

    @command
    def add(self, amount: int) -> int:
        self.calls += 1
        self.total = sum((self.total, amount))
        return self.total


class WrongAboveNine(StateMachine):
    total: int = 0

    @command
    def add(self, amount: int) -> int:
        self.total += min(amount, 9)
        return self.total


class WithQuery(StateMachine):
    total: int = 0

    @query
    def add(self, amount: int) -> int:
        return self.total + amount


class OtherArgument(StateMachine):
    total: int = 0

    @command
    def add(self, much: int) -> int:
        return self.total + much


class OtherResult(StateMachine):
    total: int = 0

    @command
    def add(self, amount: int) -> str:
        return str(self.total + amount)


class OtherState(StateMachine):
    sum: int = 0

    @command
    def add(self, amount: int) -> int:
        return self.sum + amount


class MoreCommands(Tally):
    @command
    def clear(self) -> None:
        self.total = 0


def cluster(versions: dict[int, type[StateMachine]]) -> InlineCluster:
    parameters = {"checkpoint_interval": 4, "window": 8}
    return InlineCluster(
        Tally, lambda me: PBFT.make(me, Committee(4), parameters), PBFT.messages, PBFT.records, versions=versions
    )


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (WithQuery, "'add' differs in kind: command and query"),
        (OtherArgument, r"'add' differs in arguments: \(amount: int\) and \(much: int\)"),
        (OtherResult, "'add' differs in result: int and str"),
        (OtherState, r"their states are \(total: int\) and \(sum: int\)"),
        (MoreCommands, "Tally has no command 'clear'"),
    ],
)
def test_what_can_be_told_apart_is_refused(other: type[StateMachine], sentence: str) -> None:
    with pytest.raises(Mistake, match=sentence):
        check_interchangeable(Tally, other)
    with pytest.raises(Mistake, match="cannot stand for each other"):
        cluster({3: other})


def test_another_implementation_answers_alike_and_writes_the_same_states() -> None:
    check_interchangeable(Tally, OtherTally)
    mixed = cluster({1: OtherTally, 3: OtherTally})
    assert [mixed.call("add", 3) for _ in range(9)] == list(range(3, 28, 3))
    assert mixed.observer.counters.get("convicted", 0) == 0
    assert len({turn.executor.checkpoint().digest for turn in mixed.turns}) == 1


def test_a_bug_in_one_is_outvoted_and_its_state_is_replaced() -> None:
    mixed = cluster({3: WrongAboveNine})
    for number in range(1, 10):
        assert mixed.call("add", 10) == 10 * number
    assert mixed.turns[3].counters["states_fetched"] >= 1
    assert all("states_fetched" not in turn.counters for turn in mixed.turns[:3])


def test_a_bit_that_flips_in_one_replicas_memory_is_found_at_a_checkpoint_and_mended() -> None:
    cluster_of_one_kind = cluster({})
    assert cluster_of_one_kind.call("add", 5) == 5
    damaged = cluster_of_one_kind.turns[2].executor._machine
    assert isinstance(damaged, Tally)
    damaged.total ^= 1 << 40
    for number in range(2, 10):
        assert cluster_of_one_kind.call("add", 5) == 5 * number
    assert cluster_of_one_kind.turns[2].counters["states_fetched"] == 1
    assert len({turn.executor.checkpoint().digest for turn in cluster_of_one_kind.turns}) == 1


def test_the_same_bug_in_all_is_agreed_on() -> None:
    wrong = cluster(dict.fromkeys(range(4), WrongAboveNine))
    assert wrong.call("add", 10) == 9
    assert all("states_fetched" not in turn.counters for turn in wrong.turns)


def test_the_same_bug_in_more_than_f_can_win() -> None:
    """Two liars of four give the same wrong answer: whichever is complete first is taken."""
    mixed = cluster({0: WrongAboveNine, 1: WrongAboveNine})
    assert mixed.call("add", 10) == 9
