"""Witnesses: they vote, keep no data and never lead; and what of the log they are told, and when."""

from __future__ import annotations

from typing import Final

import pytest
from raft_steps import RAFT, TIMEOUT, Steps

from outvote.core.committee import Committee
from outvote.core.contract import NO_STATE
from outvote.errors import Mistake
from outvote.protocols.raft.members import Members
from outvote.protocols.raft.messages import Appended, AppendEntries, InstallSnapshot, PreVote, TimeoutNow
from outvote.protocols.raft.records import Compacted, Wrote
from outvote.types import ReplicaId

WITNESS: Final[ReplicaId] = 2


def led(n: int = 3, **parameters: int) -> Steps:
    steps = Steps(n, witnesses=1 << WITNESS, **parameters)
    steps.elect(0)
    settle(steps)
    return steps


def settle(steps: Steps, *among: ReplicaId) -> None:
    """A few heartbeats, with what is said meanwhile."""
    for _ in range(3):
        steps.settle(among or None)
        steps.pass_time(steps.state(0).config.heartbeat_ns, *(among or range(steps.n)))
    steps.settle(among or None)


def test_it_keeps_no_request_and_knows_the_terms() -> None:
    steps = led()
    for number in range(1, 4):
        steps.submit(0, number)
        settle(steps)
    witness, leader = steps.state(WITNESS), steps.state(0)
    assert witness.commit == leader.commit
    assert steps.executed(1) == [1, 2, 3]
    assert not steps.delivered[WITNESS]
    terms = [[one.term for one in state.log.entries] for state in (witness, leader)]
    assert terms[0] == terms[1]
    written = [entry for one in steps.disks[WITNESS] if isinstance(one, Wrote) for entry in one.entries]
    assert written
    assert not any(entry.requests or entry.whole for entry in written)


def test_it_is_told_only_of_what_a_majority_holds_as_data() -> None:
    steps = led()
    last = steps.state(WITNESS).log.last
    steps.submit(0, 1)
    steps.settle((0, WITNESS))
    assert steps.state(WITNESS).log.last == last, "replica 1 was heard of just now, so it counts on it"
    assert steps.state(0).commit == last


def test_it_stands_in_for_one_that_keeps_data_and_is_silent() -> None:
    steps = led()
    steps.submit(0, 1)
    steps.settle((0, WITNESS))
    for _ in range(6):
        steps.pass_time(steps.state(0).config.heartbeat_ns, 0, WITNESS)
        steps.settle((0, WITNESS))
    assert steps.state(0).leads, "one and the witness are a majority"
    assert steps.executed(0) == [1]
    assert steps.state(WITNESS).log.last == steps.state(0).log.last


def test_a_leader_that_fails_can_be_replaced_by_whoever_was_up() -> None:
    """Of three one may fail at any time. Had the witness been told of the entry, it would vote for nobody."""
    steps = led()
    steps.submit(0, 1)
    steps.settle((0, WITNESS))
    steps.letters.clear()
    steps.elect(1, (1, WITNESS))
    steps.submit(1, 2)
    for _ in range(6):
        steps.settle((1, WITNESS))
        steps.pass_time(steps.state(1).config.heartbeat_ns, 1, WITNESS)
    assert steps.executed(1) == [2]


def test_a_restarted_witness_votes_for_nobody_who_lacks_what_it_acknowledged() -> None:
    steps = led()
    steps.submit(0, 1)
    steps.settle((0, WITNESS))
    for _ in range(6):
        steps.pass_time(steps.state(0).config.heartbeat_ns, 0, WITNESS)
        steps.settle((0, WITNESS))
    assert steps.executed(0) == [1]
    steps.letters.clear()
    steps.crash(WITNESS)
    for _ in range(3):
        steps.time_out(1)
        steps.settle((1, WITNESS))
        assert not steps.state(1).leads
    assert steps.executed(1) == []
    steps.elect(0, (0, 1))
    settle(steps)
    assert steps.executed(1) == [1]


@pytest.mark.parametrize("pre_vote", [0, 1])
def test_it_never_leads(pre_vote: int) -> None:
    steps = led(pre_vote=pre_vote)
    assert steps.cores[0].operate("hand-over", WITNESS) == "replica 2 is a witness: it keeps no data, and never leads"
    steps.letters.clear()
    term = steps.state(WITNESS).term
    steps.hear((0, WITNESS, TimeoutNow(term)))
    for _ in range(8):
        steps.pass_time(2 * TIMEOUT, WITNESS)
    assert steps.state(WITNESS).term == term
    assert steps.state(WITNESS).role == "follower"
    assert not steps.take(PreVote)
    first = Steps(3, witnesses=1)
    assert [first.state(me).role for me in range(3)] == ["follower"] * 3


def test_its_log_begins_anew_without_a_state() -> None:
    steps = led(checkpoint_interval=4, window=8)
    for number in range(1, 12):
        steps.submit(0, number)
        settle(steps)
    state = steps.state(WITNESS)
    assert state.log.base >= 8
    assert steps.kept[WITNESS] == (state.log.base, NO_STATE)
    last, members = state.log.last, state.members
    steps.kept[WITNESS] = (0, b"")  # a host finds no state there
    steps.crash(WITNESS)
    again = steps.state(WITNESS)
    assert (again.log.last, again.members, again.lacks_state) == (last, members, False)
    steps.submit(0, 12)
    settle(steps)
    assert again.log.last == steps.state(0).log.last


def test_one_that_is_far_behind_notes_where_the_log_begins_and_fetches_nothing() -> None:
    steps = led(checkpoint_interval=4, window=8)
    witness = steps.state(WITNESS)
    steps.hear((0, WITNESS, InstallSnapshot(witness.term, 40, witness.term, b"d" * 32, Members((0, 1, 2)))))
    [(_, _, said)] = steps.take(Appended)
    assert said == Appended(witness.term, 40)
    assert (witness.log.base, witness.fetching) == (40, None)
    assert isinstance(steps.disks[WITNESS][-2], Compacted)


def test_a_request_at_a_witness_goes_to_the_leader_and_is_kept_by_nobody_else() -> None:
    steps = led()
    steps.submit(WITNESS, 1)
    settle(steps)
    assert steps.executed(0) == [1]
    assert not len(steps.state(WITNESS).pool)


def test_nobody_reads_at_a_witness() -> None:
    steps = led()
    assert steps.cores[WITNESS].reads_at is None
    assert steps.cores[1].reads_at is not None


def test_more_than_half_of_the_voters_keep_data() -> None:
    for n, witnesses in ((2, 1), (3, 0b110), (4, 0b11)):
        with pytest.raises(Mistake, match="more than half must keep data"):
            RAFT.make(0, Committee(n, "crashes"), {"witnesses": witnesses})
    with pytest.raises(Mistake, match="stands for replica i of 3"):
        RAFT.make(0, Committee(3, "crashes"), {"witnesses": 8})
    steps = led()
    assert "must keep data" in steps.cores[0].change_voters((0, WITNESS))
    assert steps.cores[0].change_voters((0, 1)) == ""


def test_entries_for_it_are_bare() -> None:
    steps = led()
    steps.submit(0, 1)
    steps.settle((0, 1), hold=lambda letter: letter[1] == WITNESS)
    steps.pass_time(steps.state(0).config.heartbeat_ns, 0)
    [entry, *_] = [entry for one in steps.take(AppendEntries, WITNESS) for entry in one[2].entries]  # type: ignore[attr-defined]
    assert (entry.requests, entry.time, entry.whole) == ((), 0, False)
