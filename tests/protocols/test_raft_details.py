"""Details of Raft that planted mutants showed nobody looked at."""

from __future__ import annotations

import pytest
from raft_steps import TIMEOUT, Steps

from outvote.protocols.raft import replication
from outvote.protocols.raft.log import Log
from outvote.protocols.raft.messages import (
    Appended,
    AppendEntries,
    Entry,
    Forward,
    Heartbeat,
    InstallSnapshot,
    NeedState,
    TimeoutNow,
)
from outvote.protocols.raft.records import Identified, Repaired, Voted, Wrote
from outvote.protocols.raft.state import Peer


def test_a_candidate_that_finds_a_leader_takes_nothing_in_its_own_log_for_compared() -> None:
    steps = Steps(3, pre_vote=0)
    steps.disks[1] = [Voted(1, 0), Wrote(0, (Entry(1, 1, ()),))]
    steps.crash(1)
    steps.time_out(1)
    term = steps.state(1).term
    assert steps.state(1).role == "candidate"
    steps.hear((2, 1, Heartbeat(term, 1, 1)))
    assert steps.state(1).role == "follower"
    assert steps.state(1).commit == 0


def test_a_read_that_waits_for_a_leader_is_confirmed_by_the_first_heartbeats_of_ones_own_term() -> None:
    steps = Steps(3)
    core = steps.cores[0]
    core.now = steps.now
    ticket = core.ask_to_read()
    steps.elect(0)
    steps.settle()
    steps.pass_time(steps.state(0).config.heartbeat_ns, 0)
    steps.settle()
    assert core.reads_confirmed >= ticket


def test_one_that_lost_its_state_is_no_successor() -> None:
    steps = Steps(3)
    steps.elect(0)
    steps.settle()
    state = steps.state(1)
    state.repair.state_of = state.log.last + 1
    assert state.lacks_state
    steps.hear((0, 1, TimeoutNow(state.term)))
    assert state.role == "follower"
    assert steps.cores[0].hand_over(0) == "it leads already"


def test_a_request_that_no_leader_took_is_passed_on_again() -> None:
    steps = Steps(3)
    steps.elect(0)
    steps.settle()
    steps.submit(1, 1)
    assert len(steps.take(Forward)) == 1
    for _ in range(9):
        steps.pass_time(steps.state(0).config.heartbeat_ns, 0)
        steps.settle((0, 1))
    steps.pass_time(TIMEOUT // 2, 1)
    assert steps.take(Forward, 0)


def test_only_the_leader_offers_its_state_to_one_that_lost_its_own() -> None:
    steps = Steps(3, checkpoint_interval=2, window=4)
    steps.elect(0)
    for number in range(1, 9):
        steps.submit(0, number)
        steps.settle()
    term = steps.state(0).term
    for me in (0, 2):
        steps.hear((1, me, NeedState(term, 4)))
    [(sender, receiver, offer)] = steps.take(InstallSnapshot)
    assert (sender, receiver) == (0, 1)
    assert offer.position >= 4  # type: ignore[attr-defined]


def test_a_state_is_fetched_only_by_who_cannot_do_without_it() -> None:
    steps = Steps(3, checkpoint_interval=2, window=4)
    steps.elect(0)
    for number in range(1, 9):
        steps.submit(0, number)
        steps.settle()
    leader, follower = steps.state(0), steps.state(1)
    position = leader.stable
    offer = InstallSnapshot(leader.term, position, leader.stable_term, leader.stable_digest, leader.stable_members)
    steps.letters.clear()
    steps.hear((0, 1, offer))
    assert follower.fetching is None, "its log holds all of it"
    assert [one[2] for one in steps.take(Appended)] == [Appended(leader.term, position)]
    follower.delivered = follower.commit = position - 1
    follower.log.entries[position - follower.log.base - 1] = follower.log.at(position).bare()
    follower.repair.faulty = {position: Peer}  # type: ignore[dict-item]
    steps.hear((0, 1, offer))
    assert follower.fetching is not None, "and now one entry of it is damaged"


def test_messages_on_their_way_are_counted() -> None:
    steps = Steps(3, batch_requests_max=1, pipeline=4)
    steps.elect(0)
    steps.settle()
    state = steps.state(0)
    peer = state.peers[1]
    assert not peer.in_flight
    steps.submit(0, 1)
    assert len(peer.in_flight) == 1
    assert replication.has_room(state, peer)
    peer.in_flight = [1] * replication.IN_FLIGHT_MAX
    assert not replication.has_room(state, peer)
    peer.in_flight, peer.probing = [1], True
    assert not replication.has_room(state, peer), "nothing is known of its log: one at a time"
    slow = Steps(3, pipelining=0)
    slow.elect(0)
    other = Peer(1, 0)
    other.probing, other.in_flight = False, [1]
    assert not replication.has_room(slow.state(0), other)


def test_a_witness_is_told_no_more_than_what_others_hold() -> None:
    steps = Steps(3, witnesses=0b100, batch_requests_max=1, pipeline=8)
    steps.elect(0)
    steps.settle()
    steps.submit(0, 1)
    steps.settle((0, 1), hold=lambda letter: letter[1] == 2)
    steps.submit(0, 2)
    steps.letters = [one for one in steps.letters if one[1] == 2]
    held = steps.state(0).peers[1].match
    assert steps.state(0).log.last == held + 1
    message = replication.bare_entries_from(steps.state(0), held, held)
    assert message.previous + len(message.entries) == held
    for letter in steps.take(AppendEntries, 2):
        assert letter[2].previous + len(letter[2].entries) <= held  # type: ignore[attr-defined]
    assert steps.cores[0].standing().witnesses == (2,)


def test_a_repaired_entry_fills_its_own_slot_alone() -> None:
    """What was repaired and truncated later does not come back under another term."""
    steps = Steps(3)
    old, new = Entry(1, 7, ()), Entry(2, 8, ())
    steps.disks[1] = [
        Voted(2, 0), Wrote(0, (Entry(1, 0, (), None, False),)), Repaired(1, old), Wrote(0, (new.bare(),)),
        Repaired(1, old), Repaired(2, old), Identified(2, 0, 0, 0, 0, 1, 0, (2,), ()),
    ]
    steps.crash(1)
    assert steps.state(1).log.last == 1
    assert steps.state(1).log.at(1) == new.bare()
    steps.disks[1].insert(-1, Repaired(1, new))
    steps.crash(1)
    assert steps.state(1).log.at(1) == new


def test_the_log_holds_nothing_where_it_begins() -> None:
    log = Log()
    log.write(0, (Entry(1, 0, ()), Entry(1, 0, ())))
    log.compact(1)
    for index in (0, 1, 3):
        with pytest.raises(IndexError, match="the log holds 2 to 2"):
            log.at(index)
    assert log.at(2).term == 1
