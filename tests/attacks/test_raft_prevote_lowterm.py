"""A replica in an early term comes back, and the leader dies (etcd issue 8243).

Passes if a refusal carries the answerer's term, so that the replica catches up and somebody is elected; and if one that
was cut off raises nobody's term.
"""

from __future__ import annotations

from raft_steps import Steps

from outvote.protocols.raft.messages import PreVote, PreVoted


def test_who_is_behind_learns_the_term_from_a_refusal() -> None:
    steps = Steps(3)
    for _ in range(3):  # terms pass by without replica 2
        for me in (0, 1):
            steps.elect(me, (0, 1))
            steps.settle((0, 1))
            steps.crash(me)
    assert steps.state(2).term == 0
    steps.letters.clear()  # the leader, replica 1, dies
    steps.time_out(2)
    [asked] = steps.take(PreVote, 0)
    steps.hear(asked)
    [answer] = steps.take(PreVoted, 2)
    steps.hear(answer)
    assert steps.state(2).term == steps.state(0).term
    assert isinstance(answer[2], PreVoted)
    assert not answer[2].granted
    steps.elect(0, (0, 2))


def test_one_that_was_cut_off_raises_no_term_and_deposes_nobody() -> None:
    steps = Steps(3)
    steps.elect(0)
    steps.settle()
    term = steps.state(0).term
    for _ in range(60):
        steps.pass_time(steps.state(0).config.heartbeat_ns, 0)
        steps.settle((0, 1))
        steps.pass_time(0, 1, 2)
        steps.settle((0, 1))
    assert steps.state(2).role == "pre-candidate"
    assert steps.state(2).term == term
    for _ in range(60):
        steps.pass_time(0, 2)
        steps.settle()
        steps.pass_time(steps.state(0).config.heartbeat_ns, 0)
    assert steps.state(0).leads
    assert {steps.state(me).term for me in range(3)} == {term}


def test_without_pre_vote_it_does_so() -> None:
    """What the flag is for."""
    steps = Steps(3, pre_vote=0, check_quorum=0)
    steps.elect(0)
    steps.settle()
    term = steps.state(0).term
    for _ in range(5):
        steps.time_out(2)
        steps.letters.clear()
    assert steps.state(2).term > term
    steps.time_out(2)
    steps.settle()
    assert steps.state(0).term > term


def test_handing_over_bypasses_pre_vote_and_the_live_leader() -> None:
    steps = Steps(3)
    steps.elect(0)
    steps.settle()
    assert not steps.cores[0].hand_over(2)
    steps.drain(0)
    steps.settle()
    assert steps.state(2).leads
    assert not steps.state(0).leads


def test_handing_over_waits_until_the_successor_has_everything() -> None:
    steps = Steps(3)
    steps.elect(0)
    steps.settle()
    steps.submit(0, 1)
    steps.settle((0, 1))
    assert not steps.cores[0].hand_over(2)
    steps.drain(0)
    steps.submit(0, 2)
    assert steps.state(0).log.last == 2, "nothing is taken while it hands over"
    for _ in range(4):
        steps.pass_time(steps.state(0).config.heartbeat_ns, 0)
        steps.settle()
    assert steps.state(2).leads
    steps.settle()
    assert 1 in steps.executed(2)


def test_a_successor_that_does_not_come_is_given_up() -> None:
    steps = Steps(3)
    steps.elect(0)
    steps.settle()
    assert not steps.cores[0].hand_over(2)
    steps.drain(0)
    for _ in range(10):
        steps.pass_time(steps.state(0).config.heartbeat_ns, 0)
        steps.settle((0, 1))
    steps.submit(0, 1)
    steps.settle((0, 1))
    assert steps.executed(0) == [1]
