"""Figure 8 of the paper: an entry of an earlier term lies on a majority, is not committed by that, and may be lost.

Passes if it is executed nowhere before an entry of the leader's own term is committed behind it.
"""

from __future__ import annotations

from raft_steps import Steps

from outvote.protocols.raft.messages import AppendEntries


def test_an_entry_of_an_earlier_term_is_not_committed_by_counting() -> None:
    steps = Steps(5, pre_vote=0, check_quorum=0)
    steps.elect(0)
    steps.settle()
    # (a) Replica 0 leads, and its entry reaches replica 1 only.
    steps.submit(0, 1)
    steps.settle((0, 1))
    # (b) Replica 4 is elected by 2 and 3, writes another entry to the same place, and tells nobody.
    steps.elect(4, (2, 3, 4))
    steps.letters.clear()
    # (c) Replica 0 leads again. Its old entry reaches replica 2: a majority holds it. Its new one does not leave.
    steps.elect(0, (0, 1, 2))
    for _ in range(6):
        for letter in steps.take(AppendEntries, 1, 2):
            sender, receiver, message = letter
            assert isinstance(message, AppendEntries)
            old = tuple(one for one in message.entries if one.term < steps.state(0).term)
            steps.hear((sender, receiver, AppendEntries(
                message.term, message.previous, message.previous_term, old, message.commit)))
        steps.settle((0, 1, 2), hold=lambda one: isinstance(one[2], AppendEntries))
    assert [entry.requests[0].number for entry in steps.state(2).log.entries if entry.requests] == [1]
    assert steps.executed(0) == [], "a majority holds it, and that is not enough"
    # (d) Replica 4 is elected and overwrites it. Nothing that anybody executed is lost.
    steps.elect(4, (1, 2, 3, 4))
    for _ in range(4):
        steps.settle((1, 2, 3, 4))
        steps.pass_time(steps.state(4).config.heartbeat_ns, 4)
    steps.submit(4, 3)
    steps.settle()
    steps.pass_time(steps.state(4).config.heartbeat_ns, 4)
    steps.settle()
    assert {tuple(steps.executed(me)) for me in (1, 2, 3, 4)} == {(3,)}
