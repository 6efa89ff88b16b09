"""Tests of a replicated class on clusters in which replicas lie. Run with pytest --byzantine=all"""

import pytest
from bank import Bank
from hypothesis import given, settings
from hypothesis import strategies as st

from outvote import NotEnoughReplicas, Refused
from outvote.testing import Call, Step, operations, run_sequence, simulated_cluster
from outvote_pytest import Byzantine


def test_money_moves(byzantine: Byzantine) -> None:
    cluster = byzantine(Bank)
    ann = cluster.client()
    assert ann.deposit("ann", 500) == 500
    ann.transfer("ann", "bob", amount=200)
    with pytest.raises(Refused, match="ann does not hold so much"):
        ann.transfer("ann", "bob", 400)
    assert cluster.call("total") == 500


def test_many_clients_at_once(byzantine: Byzantine) -> None:
    cluster = byzantine(Bank)
    clients = [cluster.client() for _ in range(5)]
    pending = [client.submit("deposit", "ann", 100) for client in clients * 4]
    cluster.run()
    assert max(one.result() for one in pending) == 2000


@pytest.mark.byzantine(behaviours="none", seeds=3)
def test_replicas_come_and_go(byzantine: Byzantine) -> None:
    cluster = byzantine(Bank)
    cluster.call("deposit", "ann", 1)
    cluster.crash(0)
    cluster.call("deposit", "ann", 1)
    cluster.partition([1], [2, 3])
    late = cluster.submit("deposit", "ann", 1)
    with pytest.raises(NotEnoughReplicas):
        late.result()
    cluster.heal()
    cluster.restart(0)
    cluster.corrupt(3, "forge-replies")
    assert late.result() == 3


accounts = st.sampled_from(["ann", "bob"])


@given(
    steps=operations(
        Bank,
        values={"account": accounts, "source": accounts, "target": accounts, "amount": st.integers(-1, 1000)},
        faults=["crash", "restart", "partition", "heal", "corrupt"],
    )
)
@settings(deadline=None)
def test_no_money_is_made_or_lost(steps: list[Step]) -> None:
    with simulated_cluster(Bank, behaviours="none") as cluster:
        results = run_sequence(cluster, steps)
        calls = [step for step in steps if isinstance(step, Call)]
        deposited = sum(
            call.arguments[1]
            for call, result in zip(calls, results, strict=True)
            if call.name == "deposit" and not isinstance(result, Refused)
        )
        assert cluster.call("total") == deposited
