"""Ongaro's three cases of July 2015: a configuration of an earlier term, that was never committed, elects a leader that
shares no majority with the configuration that was committed meanwhile.

Passes if no leader can write a configuration before an entry of its own term is committed, and if joint consensus has
the old voters' say in every step: so what is committed survives.
"""

from __future__ import annotations

import pytest
from raft_steps import Steps

CASES = {
    "one added, one removed": ((0, 1, 2, 3), (0, 1, 2, 3, 4), (1, 2, 3)),
    "two added": ((0, 1, 2, 3), (0, 1, 2, 3, 4), (0, 1, 2, 3, 5)),
    "two removed": ((0, 1, 2, 3), (1, 2, 3), (0, 2, 3)),
}


@pytest.mark.parametrize("case", CASES)
def test_no_two_configurations_elect_leaders_of_their_own(case: str) -> None:
    first, by_zero, by_one = CASES[case]
    steps = Steps(6, learners=0b110000, pre_vote=0, check_quorum=0)
    steps.elect(0, first)
    assert steps.cores[0].change_voters(by_zero) == "no entry of this term is committed yet"
    steps.settle(first)
    assert steps.cores[0].change_voters(by_zero) == ""
    steps.drain(0)
    assert steps.cores[0].change_voters(by_one) == "another change is under way"
    steps.settle((0, 4))  # only one more hears of it, and it has no vote as yet
    # Replica 1 leads by the votes of the first configuration, of which nobody else knows better.
    steps.elect(1, (1, 2, 3))
    assert steps.cores[1].change_voters(by_one) == "no entry of this term is committed yet"
    steps.settle((1, 2, 3))
    assert steps.cores[1].change_voters(by_one) == ""
    steps.drain(1)
    steps.submit(1, 1)
    for _ in range(8):
        steps.settle((1, 2, 3))
        steps.pass_time(steps.state(1).config.heartbeat_ns, 1)
    decided = steps.executed(1)
    # Replica 0 tries by its own configuration: it needs the old voters as well, and they know better.
    steps.crash(0)
    steps.time_out(0)
    steps.settle((0, 4, 5))
    assert not steps.state(0).leads
    steps.time_out(0)
    steps.settle()
    assert not steps.state(0).leads
    for _ in range(12):
        steps.settle()
        for me in range(6):
            steps.pass_time(steps.state(me).config.heartbeat_ns // 6, me)
    leaders = [me for me in range(6) if steps.state(me).leads]
    if not leaders:
        steps.elect(2)
        steps.settle()
    assert all(steps.executed(me)[: len(decided)] == decided for me in range(6) if steps.executed(me))


def test_a_change_goes_through_both_steps_and_its_outgoing_leader_resigns() -> None:
    steps = Steps(5, learners=0b11000)
    steps.elect(0)
    steps.settle()
    assert steps.cores[0].change_voters((2, 3, 4)) == ""
    steps.drain(0)
    assert steps.state(0).members.joint
    for _ in range(6):
        steps.settle()
        steps.pass_time(steps.state(0).config.heartbeat_ns, 0)
    assert [steps.state(me).members.voters for me in (0, 2, 3, 4)] == [(2, 3, 4)] * 4
    assert not steps.state(2).members.joint
    assert steps.state(0).role == "follower", "it led the cluster to a configuration without itself"
    steps.elect(3)
    steps.settle()
    steps.submit(3, 1)
    steps.settle((2, 3, 4))
    assert steps.executed(3) == [1], "the new voters alone are enough"


def test_during_a_change_both_majorities_are_needed() -> None:
    steps = Steps(5, learners=0b11000)
    steps.elect(0)
    steps.settle()
    steps.cores[0].change_voters((0, 3, 4))
    steps.drain(0)
    commit = steps.state(0).commit
    steps.settle((0, 1, 2))
    assert steps.state(0).commit == commit, "a majority of the old voters, and one of the new"
    for _ in range(6):
        steps.pass_time(steps.state(0).config.heartbeat_ns, 0)
        steps.settle((0, 1, 3))
    assert steps.state(0).commit > commit


def test_a_truncated_configuration_counts_no_longer() -> None:
    steps = Steps(3, pre_vote=0, check_quorum=0)
    steps.elect(0)
    steps.settle()
    steps.cores[0].change_voters((0, 1))
    steps.drain(0)
    steps.letters.clear()
    assert steps.state(0).members.joint
    steps.elect(1, (1, 2))
    for _ in range(6):
        steps.settle()
        steps.pass_time(steps.state(1).config.heartbeat_ns, 1)
    assert steps.state(0).members == steps.state(1).members
    assert steps.state(0).members.voters == (0, 1, 2)
    assert not steps.state(0).members.joint


def test_who_votes_no_longer_leads_on_until_that_is_certain() -> None:
    """One voter hands its vote to another. The entry that says so reaches its own disk alone, and it crashes: the other
    knows of the joint configuration only, needs its vote, and lacks an entry; nobody else can be elected."""
    steps = Steps(2, learners=0b10)
    steps.elect(0)
    steps.settle()
    assert steps.cores[0].change_voters((1,)) == ""
    steps.drain(0)
    steps.settle(hold=lambda letter: letter[0] == 0 and not steps.state(0).members.joint)
    assert not steps.state(0).members.votes(0)
    assert steps.state(1).members.joint
    steps.letters.clear()
    steps.crash(0)
    steps.elect(0)
    for _ in range(6):
        steps.pass_time(steps.state(0).config.heartbeat_ns)
        steps.settle()
    assert steps.state(1).members == steps.state(0).members
    assert not steps.state(0).leads, "now it is certain"
    steps.elect(1)
    steps.submit(1, 1)
    steps.settle()
    assert steps.executed(1) == [1]
