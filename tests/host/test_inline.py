"""A cluster inside one call stack answers like a real one."""

from __future__ import annotations

import pytest

from outvote.core.committee import Committee
from outvote.core.contract import Core
from outvote.errors import Mistake, Refused
from outvote.host.inline import InlineCluster
from outvote.machines.key_value import Entry, KeyValueStore
from outvote.machines.ledger import Ledger
from outvote.machines.machine import StateMachine
from outvote.protocols.catalogue import PBFT
from outvote.types import ReplicaId


def make(machine: type[StateMachine], n: int = 4) -> InlineCluster:
    def core(me: ReplicaId) -> Core:
        return PBFT.make(me, Committee(n), {"checkpoint_interval": 4, "window": 8})

    return InlineCluster(machine, core, PBFT.messages, PBFT.records, n)


@pytest.mark.parametrize("n", [1, 4, 5, 7])
def test_calls_are_ordered_and_answered(n: int) -> None:
    cluster = make(KeyValueStore, n)
    for number in range(20):
        assert cluster.call("put", "a", str(number)) == number + 1
    assert cluster.call("get", "a") == Entry("19", 20)
    positions = {turn.core.standing().position for turn in cluster.turns}
    assert positions == {21}
    assert len({turn.executor.history for turn in cluster.turns}) == 1
    assert all(turn.counters["stable_checkpoints"] >= 4 for turn in cluster.turns)


def test_a_refusal_of_the_users_code_is_an_answer_too() -> None:
    cluster = make(Ledger)
    cluster.call("open_account", "alice")
    cluster.call("open_account", "bob")
    with pytest.raises(Refused):
        cluster.call("transfer", "alice", "bob", 5)
    assert cluster.call("balance", "alice") == 0


def test_the_leader_may_be_down_and_two_of_four_may_not() -> None:
    cluster = make(KeyValueStore)
    cluster.call("put", "a", "1")
    cluster.down.add(0)
    assert cluster.call("put", "a", "2") == 2
    assert {turn.core.standing().view for turn in cluster.turns if turn.me != 0} == {1}
    cluster.down.add(1)
    with pytest.raises(Mistake, match="2 of 4 replicas are down"):
        cluster.call("put", "a", "3")
    cluster.down.clear()
    assert cluster.call("get", "a") in (Entry("2", 2), Entry("3", 3))
