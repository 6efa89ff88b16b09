"""What the checks find: classes that are not deterministic, answers that are wrong, orders that contradict time."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from users_machines import AnswersByChance, Bank, CountsForAll, Forgets, ForgetsOnDisk, KeepsChance, Lottery

from outvote import Mistake, StateMachine, command
from outvote.errors import NotDeterministic
from outvote.simulator.checkers.violation import Violation
from outvote.testing import SimulatedCluster, simulated_cluster
from outvote.testing.history import complaint
from outvote.testing.world import Submitted
from outvote.wire.client_messages import ReplyStatement

RANDOM_WORDS = "it draws random numbers of its own: take a parameter `context: Context`"


def test_different_results_are_found() -> None:
    text = (
        r"AnswersByChance is not deterministic: at position 1, draw\(\), replica \d answered \d+ and replica \d \d+. "
        r"Likely: " + re.escape(RANDOM_WORDS)
    )
    with pytest.raises(NotDeterministic, match=text), simulated_cluster(AnswersByChance) as cluster:
        cluster.call("draw")


def test_different_states_are_found() -> None:
    text = (
        r"KeepsChance is not deterministic: at position 1, replica \d executed add\(7\) and has self.count = \d+, "
        r"replica \d has \d+. Likely: " + re.escape(RANDOM_WORDS)
    )
    with pytest.raises(NotDeterministic, match=text), simulated_cluster(KeepsChance) as cluster:
        cluster.call("add", 7)


def test_states_that_nobody_waited_for_are_compared_too() -> None:
    cluster = simulated_cluster(KeepsChance)
    cluster.submit("add", 7)
    with pytest.raises(NotDeterministic, match=r"executed add\(7\)"):
        cluster.check()


def test_state_outside_of_the_instance_is_found() -> None:
    text = r"at position 1, add\(\), replica \d answered \d and replica \d \d\. Likely: .* outside the instance"
    with pytest.raises(NotDeterministic, match=text), simulated_cluster(CountsForAll) as cluster:
        cluster.call("add")


def test_a_broken_restore_is_found() -> None:
    cluster = simulated_cluster(ForgetsOnDisk, behaviours="none")
    for _ in range(12):  # beyond a checkpoint
        cluster.call("add", 5)
    cluster.run(seconds=1)
    cluster.crash(1)
    text = "replica 1 restored the state of position 8 from its own disk, and writes another snapshot of it"
    with pytest.raises(NotDeterministic, match=text):
        cluster.restart(1)
    assert cluster.finished


def test_a_deterministic_class_passes_in_fresh_processes() -> None:
    for _ in range(2):
        with simulated_cluster(Bank, check_determinism=True) as cluster:
            assert cluster.call("deposit", "ann") == 1


def test_a_class_inside_a_function_cannot_be_checked_in_fresh_processes() -> None:
    class Hidden(StateMachine):
        value: int = 0

        @command
        def add(self) -> int:
            return 0

    with pytest.raises(Mistake, match="define it at the top of a module"):
        simulated_cluster(Hidden, check_determinism=True)


def corrupt_too_many(cluster: SimulatedCluster[Lottery], replicas: Sequence[int], sin: str) -> None:
    """More than the cluster's own face allows."""
    for replica in replicas:
        cluster.world.liars.add(replica)
        cluster.world.replicas[replica].corrupt((sin,))


def test_a_wrong_answer_of_too_many_liars_is_found() -> None:
    cluster = simulated_cluster(Lottery, behaviours="none")
    corrupt_too_many(cluster, (0, 1), "forge-replies")
    cluster.submit("draw", 1)
    with pytest.raises(Violation, match="forged"):
        cluster.check()


def answered_bank() -> tuple[SimulatedCluster[Bank], list[Submitted]]:
    cluster = simulated_cluster(Bank, behaviours="none")
    for amount in (1, 2, 3):
        cluster.call("deposit", "ann", amount)
        cluster.client().call("balance", "ann")
    return cluster, cluster._history


def test_a_history_without_fault_has_no_complaint() -> None:
    cluster, history = answered_bank()
    assert complaint(Bank, cluster.world.deliveries, history) == ""


def test_an_answer_of_another_operation_is_found() -> None:
    cluster, history = answered_bank()
    told = history[2].statement
    assert told is not None
    stale = history[0].statement
    assert stale is not None
    history[2].statement = ReplyStatement(told.client, told.number, told.position, stale.results)
    assert "deposit('ann', 2) was answered with 1 at position" in complaint(Bank, cluster.world.deliveries, history)
    history[2].statement = ReplyStatement(told.client, told.number, told.position + 1, told.results)
    assert "and it was executed at" in complaint(Bank, cluster.world.deliveries, history)


def test_an_answer_to_what_was_never_executed_is_found() -> None:
    cluster, history = answered_bank()
    del cluster.world.deliveries[max(cluster.world.deliveries)]
    assert "balance('ann') was answered with 6, and no honest replica ever" in complaint(
        Bank, cluster.world.deliveries, history
    )
    del cluster.world.deliveries[1]
    assert "position 1 is missing" in complaint(Bank, cluster.world.deliveries, history)


def test_an_order_that_contradicts_time_is_found() -> None:
    cluster, history = answered_bank()
    history[-1].called, history[-1].returned = 0, 1
    text = complaint(Bank, cluster.world.deliveries, history)
    assert text.startswith("balance('ann') was answered with 6 at 0.000 s, before deposit('ann', 3) was asked for at")
    assert "stands behind it in the agreed order" in text


def test_what_counts_outside_of_snapshots_is_found() -> None:
    cluster = simulated_cluster(Forgets, behaviours="none")
    for _ in range(3):
        cluster.call("add", 2)
    text = r"no order explains that add\(2\) was answered with 2, if the state goes through a snapshot"
    with pytest.raises(Violation, match=text):
        cluster.finish()
