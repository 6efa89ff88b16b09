"""A crash right behind a snapshot: configuration, term and vote must be in what the log begins with (etcd 21190).

Passes if a replica comes back with the configuration, the vote and the log that it had.
"""

from __future__ import annotations

from raft_steps import Steps


def test_a_configuration_survives_the_compaction_of_the_log_that_held_it() -> None:
    steps = Steps(4, learners=0b1000, checkpoint_interval=4, window=8)
    steps.elect(0)
    steps.settle()
    assert steps.cores[0].change_voters((0, 1, 3)) == ""
    steps.drain(0)
    for _ in range(4):
        steps.settle()
        steps.pass_time(steps.state(0).config.heartbeat_ns, 0)
    for number in range(1, 24):
        steps.submit(0, number)
        steps.settle()
    steps.pass_time(steps.state(0).config.heartbeat_ns, 0)
    steps.settle()
    for me in range(4):
        before = steps.state(me)
        assert before.stable >= 20
        assert before.log.base > 4, "the change is compacted"
        steps.crash(me)
        after = steps.state(me)
        assert after.members.voters == (0, 1, 3)
        assert (after.term, after.voted, after.log.last) == (before.term, before.voted, before.log.last)
        assert after.log.term(after.log.last) == before.log.term(before.log.last)


def test_a_vote_survives_a_crash() -> None:
    steps = Steps(3)
    steps.elect(0, (0, 1))
    voted = steps.state(1).voted
    steps.crash(1)
    assert steps.state(1).voted == voted == 0
