"""A cluster of a user's class, called by a test: answers, faults, and what is refused."""

from __future__ import annotations

import copy

import pytest
from users_machines import Bank, Lottery

from outvote import Mistake, NotEnoughReplicas, Refused
from outvote.simulator.adversaries.catalogue import names_for
from outvote.simulator.checkers.violation import Violation
from outvote.testing import simulated_cluster
from outvote.testing.case import FAULTS
from outvote.types import FIRST_CLIENT


@pytest.mark.parametrize("behaviour", ["none", "random", *names_for("pbft")])
def test_calls_are_answered_whoever_lies(behaviour: str) -> None:
    with simulated_cluster(Bank, behaviours=behaviour) as cluster:
        assert cluster.call("deposit", "ann", 5) == 5
        other = cluster.client()
        assert other.deposit("ann", amount=2) == 7
        assert other.balance("ann") == cluster.call("balance", account="ann") == 7
        assert len(cluster.liars) == (behaviour != "none")


@pytest.mark.parametrize("faults", [*FAULTS, "all", "random"])
def test_calls_are_answered_whatever_happens(faults: str) -> None:
    with simulated_cluster(Bank, seed=1, faults=faults) as cluster:
        for amount in range(1, 13):
            cluster.submit("deposit", "ann", amount)
            cluster.client().submit("balance", "ann")
            if amount % 4 == 0:
                cluster.run()
        assert cluster.call("balance", "ann") == sum(range(1, 13))


def test_faults_really_happen() -> None:
    with simulated_cluster(Bank, behaviours="none", faults="crashes,loss", seed=3) as cluster:
        for _ in range(30):
            cluster.call("deposit", "ann")
        assert cluster.world.network.lost > 0
        assert cluster.world.marks["crashes"] > 0


def test_a_seed_is_a_run() -> None:
    def digest(seed: int) -> str:
        with simulated_cluster(Lottery, seed=seed, faults="all") as cluster:
            for _ in range(6):
                cluster.call("draw", 50)
        return cluster.world.trace_digest()

    assert digest(5) == digest(5)
    assert digest(5) != digest(6)


def test_several_operations_at_once() -> None:
    with simulated_cluster(Bank) as cluster:
        first, second = cluster.client(), cluster.client()
        pending = [client.submit("deposit", "ann") for client in (first, second) * 10]
        assert not any(one.done for one in pending)
        cluster.run()
        assert sorted(one.result() for one in pending) == list(range(1, 21))
        assert [one.position for one in pending] != [0] * 20
        assert repr(pending[0]) == "<deposit('ann'): answered>"


def test_a_position_needs_an_answer() -> None:
    with simulated_cluster(Bank) as cluster:
        pending = cluster.submit("deposit", "ann")
        with pytest.raises(Mistake, match=r"deposit\('ann'\) has no answer yet"):
            _ = pending.position
        assert pending.result() == 1
        assert pending.position >= 1


def test_a_context_is_the_agreed_one() -> None:
    with simulated_cluster(Lottery) as cluster:
        client = cluster.client()
        client.draw(10)
        assert client.drawn_by() == client.number > FIRST_CLIENT
        assert 0 <= client.draw(limit=3) < 3


def test_a_refusal_is_an_answer() -> None:
    with simulated_cluster(Bank) as cluster:
        with pytest.raises(Refused, match="an amount must be positive, not -1"):
            cluster.call("deposit", "ann", -1)
        pending = cluster.submit("deposit", "ann", -2)
        cluster.run()
        with pytest.raises(Refused, match="not -2"):
            pending.result()


def test_calls_that_do_not_fit_are_mistakes() -> None:
    with simulated_cluster(Bank) as cluster:
        with pytest.raises(Mistake, match="did you mean 'deposit'"):
            cluster.call("deposits", "ann")
        with pytest.raises(Mistake, match="cannot call deposit"):
            cluster.call("deposit", 5, 5)
        with pytest.raises(AttributeError, match="did you mean 'balance'"):
            cluster.client().balanc("ann")
        assert not hasattr(cluster.client(), "withdraw")
        assert copy.copy(cluster.client()).balance("ann") == 0


def test_crashed_replicas_come_back_with_their_disks() -> None:
    with simulated_cluster(Bank, behaviours="none") as cluster:
        for replica in (0, 1, 2, 3):
            cluster.crash(replica)
            cluster.crash(replica)
            assert cluster.call("deposit", "ann") == replica + 1
            with pytest.raises(Mistake, match=f"replica {replica} is down"):
                cluster.state(replica)
            cluster.restart(replica)
        for replica in range(4):
            cluster.crash(replica)
        cluster.restart()
        assert cluster.call("deposit", "ann") == 5
        cluster.check()
        assert [vars(cluster.state(replica)) for replica in range(4)] == [{"accounts": {"ann": 5}}] * 4


def test_too_few_replicas_refuse_to_answer() -> None:
    with simulated_cluster(Bank, behaviours="none") as cluster:
        cluster.crash(1)
        cluster.crash(2)
        pending = cluster.submit("deposit", "ann")
        with pytest.raises(NotEnoughReplicas, match=r"2 of 4 replicas .* 3 are needed \(replica 1 is down, replica 2"):
            pending.result()
        cluster.restart(2)
        assert pending.result() == 1


def test_a_liar_and_a_crash_are_one_too_many() -> None:
    with simulated_cluster(Bank, liars={0: "silent"}) as cluster:
        cluster.crash(3)
        with pytest.raises(NotEnoughReplicas, match=r"\(replica 0 lies: silent, replica 3 is down\)"):
            cluster.call("deposit", "ann")


def test_partitions() -> None:
    with simulated_cluster(Bank, behaviours="none") as cluster:
        cluster.partition([0], [1, 2, 3])
        assert cluster.able == 3
        assert cluster.call("deposit", "ann") == 1
        cluster.partition([1])
        assert cluster.able == 2
        pending = cluster.submit("deposit", "ann")
        with pytest.raises(NotEnoughReplicas, match="there is a partition"):
            pending.result()
        cluster.heal()
        assert pending.result() == 2
        wrong: list[list[list[int]]] = [[[0, 1], [1, 2]], [[]], []]
        for sides in wrong:
            with pytest.raises(Mistake, match="one side only"):
                cluster.partition(*sides)


def test_corruption_while_it_runs() -> None:
    with simulated_cluster(Bank, behaviours="none") as cluster:
        assert cluster.call("deposit", "ann") == 1
        cluster.corrupt(0, "equivocate+forge-replies")
        assert cluster.liars == {0: "equivocate+forge-replies"}
        assert cluster.call("deposit", "ann") == 2
        cluster.corrupt(0, "silent")
        assert cluster.call("deposit", "ann") == 3
        with pytest.raises(Mistake, match=r"2 of 4 replicas would lie \(0, 1\), and 4 replicas tolerate 1"):
            cluster.corrupt(1, "silent")
        with pytest.raises(Mistake, match="there is no behaviour 'lie' against pbft: choose from"):
            cluster.corrupt(0, "lie")


def test_more_liars_than_are_tolerated_are_refused() -> None:
    with pytest.raises(Mistake, match="Corrupt fewer, or take 7 replicas"):
        simulated_cluster(Bank, liars={0: "silent", 3: "silent"})
    with simulated_cluster(Bank, liars={0: "silent", 3: "silent"}, replicas=7) as cluster:
        assert cluster.call("deposit", "ann") == 1


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"behaviours": "lie"}, "there is no behaviour 'lie'"),
        ({"behaviours": "silent+"}, "there is no behaviour ''"),
        ({"faults": "rain"}, "there is no fault 'rain': choose from loss"),
        ({"replicas": 3}, "3 replicas tolerate no liar: take at least 4"),
        ({"replicas": 0}, "a cluster has 1 to 100 replicas"),
        ({"protocol": "paxos"}, "there is no protocol 'paxos'"),
        ({"seed": -1}, "seeds are counted from 0"),
        ({"liars": {4: "silent"}}, "there is no replica 4"),
        ({"parameters": {"windows": 3}}, "parameters: .*windows"),
    ],
)
def test_settings_without_sense_are_refused(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(Mistake, match=sentence):
        simulated_cluster(Bank, **settings)  # type: ignore[arg-type]


def test_replicas_that_do_not_exist_are_refused() -> None:
    with simulated_cluster(Bank) as cluster:
        for act in (cluster.crash, cluster.restart, cluster.state, lambda one: cluster.partition([one])):
            with pytest.raises(Mistake, match="there is no replica 4"):
                act(4)


@pytest.mark.parametrize("replicas", [2, 3, 10])
def test_clusters_of_other_sizes(replicas: int) -> None:
    with simulated_cluster(Bank, behaviours="none", replicas=replicas) as cluster:
        assert cluster.call("deposit", "ann") == 1


def test_a_check_in_the_middle_ends_faults_and_nothing_else() -> None:
    with simulated_cluster(Bank, faults="crashes,partitions") as cluster:
        pending = cluster.submit("deposit", "ann")
        cluster.crash(2)
        cluster.partition([3])
        cluster.check()
        assert pending.done
        assert cluster.able == 3
        assert cluster.call("deposit", "ann") == 2


def test_virtual_time_passes_without_calls() -> None:
    with simulated_cluster(Bank) as cluster:
        cluster.run(seconds=2.5)
        assert cluster.now == 2.5


def test_a_cluster_that_stands_still_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = simulated_cluster(Bank, behaviours="none")
    monkeypatch.setattr("outvote.protocols.pbft.replica.PbftReplica.submit", lambda _self, _requests: None)
    with pytest.raises(Violation, match=r"liveness: deposit\('ann'\) has no answer after 60 s: replica 0: view 0"):
        cluster.call("deposit", "ann")
    with pytest.raises(Mistake, match="a check of this cluster has failed"):
        cluster.call("deposit", "ann")
    cluster.finish()  # the failure was told once


def test_the_last_check_waits_for_what_nobody_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = simulated_cluster(Bank, behaviours="none")
    monkeypatch.setattr("outvote.protocols.pbft.replica.PbftReplica.submit", lambda _self, _requests: None)
    cluster.submit("deposit", "ann")
    with pytest.raises(Violation, match=r"liveness: 1 operations without an answer .* deposit\('ann'\) among them"):
        cluster.finish()
