"""What a Raft replica acknowledges, votes for, forwards, fetches and forgets, step by step."""

from __future__ import annotations

import pytest
from raft_steps import Steps

from outvote.core.committee import Committee
from outvote.core.contract import Hint
from outvote.errors import Mistake
from outvote.protocols.catalogue import protocol
from outvote.protocols.raft.config import FLAGS, RaftConfig
from outvote.protocols.raft.messages import (
    Appended,
    AppendEntries,
    Entry,
    Forward,
    Heartbeat,
    InstallSnapshot,
    NeedState,
    Refused,
    RequestVote,
    Vote,
)
from outvote.protocols.raft.records import NOBODY, Compacted, Voted, Wrote
from outvote.types import MILLISECOND


def entries(*terms: int) -> tuple[Entry, ...]:
    return tuple(Entry(term, 1, ()) for term in terms)


def with_log(steps: Steps, me: int, *terms: int, term: int) -> None:
    """Start again with this log, in this term."""
    steps.disks[me] = [Voted(term, NOBODY), Wrote(0, entries(*terms))]
    steps.crash(me)


def test_it_acknowledges_no_more_than_was_compared() -> None:
    """Behind what the leader sent lies what another leader wrote."""
    steps = Steps(3)
    with_log(steps, 1, 1, 1, 1, 1, term=1)
    steps.hear((0, 1, AppendEntries(2, 1, 1, (), 0)))
    [(_, _, said)] = steps.take(Appended)
    assert said == Appended(2, 1)
    assert steps.state(1).log.last == 4, "nothing conflicts as yet, so nothing is cut off"


def test_it_commits_no_more_than_was_compared() -> None:
    steps = Steps(3)
    with_log(steps, 1, 1, 1, 1, 1, term=1)
    steps.hear((0, 1, AppendEntries(2, 1, 1, (), 4)))
    steps.hear((0, 1, Heartbeat(2, 4, 1)))
    assert steps.state(1).commit == 1


def test_what_conflicts_is_cut_off_and_what_does_not_is_kept() -> None:
    steps = Steps(3)
    with_log(steps, 1, 1, 1, 1, 1, term=1)
    steps.hear((0, 1, AppendEntries(3, 1, 1, entries(1, 2), 0)))
    assert [entry.term for entry in steps.state(1).log.entries] == [1, 1, 2]
    steps.hear((0, 1, AppendEntries(3, 1, 1, entries(1), 0)))  # an old one, late
    assert [entry.term for entry in steps.state(1).log.entries] == [1, 1, 2]


def test_what_does_not_fit_is_refused_with_a_place_to_look_at() -> None:
    steps = Steps(3)
    with_log(steps, 1, 1, 2, 2, 2, term=2)
    steps.hear((0, 1, AppendEntries(3, 4, 3, entries(3), 0)))
    steps.hear((0, 1, AppendEntries(3, 9, 3, entries(3), 0)))
    assert [said for _, _, said in steps.take(Refused)] == [Refused(3, 4, 1), Refused(3, 9, 4)]


def test_a_longer_log_of_an_earlier_term_wins_no_vote() -> None:
    steps = Steps(3, check_quorum=0)
    with_log(steps, 1, 1, 3, term=3)
    steps.hear((2, 1, RequestVote(4, 2, 5, 2)))
    assert steps.take(Vote) == []
    steps.hear((2, 1, RequestVote(4, 2, 2, 3)))
    assert len(steps.take(Vote)) == 1
    steps.hear((0, 1, RequestVote(4, 0, 9, 3)))
    assert steps.take(Vote) == [], "it has voted in this term"


def test_a_learner_votes_when_it_is_asked() -> None:
    """It may be a voter by now that has not heard of it."""
    steps = Steps(4, learners=0b1000, check_quorum=0)
    steps.hear((0, 3, RequestVote(1, 0, 0, 0)))
    assert len(steps.take(Vote)) == 1
    steps.time_out(3)
    assert steps.letters == [], "but it never asks"


def test_a_learner_counts_for_nothing_and_has_everything() -> None:
    steps = Steps(4, learners=0b1000)
    steps.elect(0, (0, 1, 2))
    steps.settle((0, 1))
    steps.submit(0, 1)
    for _ in range(4):
        steps.pass_time(steps.state(0).config.heartbeat_ns, 0)
        steps.settle((0, 3))
    assert steps.state(3).log.last == steps.state(0).log.last
    assert steps.executed(0) == [], "two of three voters are needed, and a learner is none"
    for _ in range(4):
        steps.pass_time(steps.state(0).config.heartbeat_ns, 0)
        steps.settle()
    assert steps.executed(0) == steps.executed(3) == [1]


def test_only_the_leader_answers() -> None:
    steps = Steps(3)
    steps.elect(0)
    steps.submit(0, 1)
    for _ in range(3):
        steps.settle()
        steps.pass_time(steps.state(0).config.heartbeat_ns, 0)
    assert [[one.answer for one in steps.delivered[me]] for me in range(3)] == [[True] * 2, [False] * 2, [False] * 2]


def test_followers_pass_requests_on_and_clients_find_the_leader_by_what_is_quoted() -> None:
    steps = Steps(3)
    steps.elect(1)
    steps.settle()
    steps.submit(2, 1)
    [(_, receiver, _)] = [letter for letter in steps.letters if isinstance(letter[2], Forward)]
    assert receiver == 1
    steps.settle()
    route = steps.delivered[1][-1].view
    assert Committee(3, "crashes").leader(route) == 1
    assert Committee(3, "crashes").leader(steps.cores[2].route()) == 1


def test_a_follower_far_behind_is_offered_a_state_and_acknowledges_it_when_it_is_durable() -> None:
    steps = Steps(3, checkpoint_interval=2, window=4)
    steps.elect(0)
    steps.settle()
    for number in range(1, 20):
        steps.submit(0, number)
        steps.settle((0, 1))
    for _ in range(20):
        steps.pass_time(steps.state(0).config.heartbeat_ns, 0)
        steps.settle(hold=lambda letter: isinstance(letter[2], InstallSnapshot))
    offered = steps.take(InstallSnapshot)[0]
    core = steps.cores[2]
    core.receive(0, offered[2], b"")
    [transfer] = core.out.transfers
    assert transfer.sources[0] == 0
    core.out.clear()
    core.transferred(transfer.position, transfer.digest)
    assert any(isinstance(record, Compacted) for record in core.out.records)
    steps.drain(2)
    assert steps.take(Appended) == [], "it could still be lost"
    core.executed(transfer.position, transfer.digest)
    steps.drain(2)
    assert steps.take(Appended) == [(2, 0, Appended(steps.state(0).term, transfer.position))]
    assert steps.state(2).log.base == steps.state(2).delivered == transfer.position


def test_a_replica_that_lost_its_state_asks_and_does_not_lead() -> None:
    """Its records are all there, its snapshots are not."""
    steps = Steps(3, checkpoint_interval=2, window=4)
    steps.elect(0)
    for number in range(1, 12):
        steps.submit(0, number)
        steps.settle()
    steps.pass_time(steps.state(0).config.heartbeat_ns, 0)
    steps.settle()
    assert steps.kept[1][0] > 0
    last = steps.state(1).log.last
    steps.kept[1] = (0, b"")
    steps.crash(1)
    assert steps.state(1).lacks_state
    assert steps.state(1).log.last == last, "nothing of the log is lost with it"
    steps.time_out(1)
    assert steps.letters == []
    steps.pass_time(0, 0)
    [beat] = steps.take(Heartbeat, 1)[-1:]
    steps.hear(beat)
    assert [said for _, _, said in steps.take(NeedState)] == [NeedState(steps.state(1).term, steps.state(1).log.base)]


def test_full_entries_follow_each_other_only_with_pipelining() -> None:
    """batch_requests_max = 1 makes every entry a full one."""
    for pipelining, under_way in ((1, 2), (0, 1)):
        steps = Steps(3, pipelining=pipelining, batch_requests_max=1, pipeline=2)
        steps.elect(0)
        steps.settle()
        for number in range(1, 6):
            steps.submit(0, number)
        log = steps.state(0).log
        assert log.last - steps.state(0).commit == under_way
        steps.settle()
        assert steps.executed(0) == [1, 2, 3, 4, 5]


def test_everything_that_waits_shares_one_entry_and_one_commit() -> None:
    steps = Steps(3)
    steps.elect(0)
    steps.settle()
    for number in range(1, 31):
        steps.submit(0, number)
    steps.settle()
    assert [len(one.requests) for one in steps.delivered[0]] == [0, 1, 29]


def test_a_leader_without_a_majority_resigns() -> None:
    for check_quorum in (1, 0):
        steps = Steps(3, check_quorum=check_quorum)
        steps.elect(0)
        steps.settle()
        for _ in range(20):
            steps.pass_time(steps.state(0).config.heartbeat_ns, 0)
            steps.letters.clear()
        assert steps.state(0).leads is not bool(check_quorum)


def test_promises_and_hints_are_what_the_page_says() -> None:
    for kind in protocol("raft").messages:
        tag = kind.__struct_config__.tag
        assert isinstance(tag, int)
        assert issubclass(kind, Hint) == (tag > 20)


@pytest.mark.parametrize("name", FLAGS)
def test_flags_are_on_or_off(name: str) -> None:
    with pytest.raises(Mistake, match=f"{name} is 2: it must be 0 or 1"):
        RaftConfig(**{name: 2}).validated(3)


def test_other_numbers_are_checked() -> None:
    with pytest.raises(Mistake, match="learners is 7"):
        RaftConfig(learners=7).validated(3)
    with pytest.raises(Mistake, match="window is 0"):
        RaftConfig(window=0).validated(3)
    with pytest.raises(Mistake, match="lease_drift_ppm"):
        RaftConfig(lease_drift_ppm=-1).validated(3)
    with pytest.raises(Mistake, match="raft has no colour"):
        protocol("raft").make(0, Committee(3, "crashes"), {"colour": 1})
    assert RaftConfig(view_timeout_ns=800 * MILLISECOND).heartbeat_ns == 100 * MILLISECOND


def test_an_ordinary_candidate_does_not_claim_that_the_leader_sent_it() -> None:
    """That word bypasses those who hear a leader still."""
    steps = Steps(3, pre_vote=0)
    steps.time_out(1)
    said = [one[2] for one in steps.take(RequestVote)]
    assert said
    assert not any(one.transfer for one in said)  # type: ignore[attr-defined]


def test_a_heartbeat_lets_one_that_restarted_commit_what_it_holds() -> None:
    """In an idle cluster nothing else would come."""
    steps = Steps(3)
    steps.elect(0)
    steps.submit(0, 1)
    steps.settle()
    steps.pass_time(steps.state(0).config.heartbeat_ns, 0)
    steps.settle()
    steps.crash(1)
    assert steps.executed(1) == []
    commit, term = steps.state(0).commit, steps.state(0).term
    steps.hear((0, 1, Heartbeat(term, commit, 98)))
    steps.hear((0, 1, Heartbeat(term, commit, 99, term + 1)))
    assert steps.executed(1) == [], "another entry may stand there"
    steps.hear((0, 1, Heartbeat(term, commit + 1, 100, -1)))
    assert steps.executed(1) == [], "not known to the leader, not held here: that is no match"
    steps.hear((0, 1, Heartbeat(term, commit, 101, term)))
    assert steps.executed(1) == [1]
