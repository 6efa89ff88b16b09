"""Damaged entries: what is known of them, who mends them, and when a leader may discard one (Alagappan et al. 2018)."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from raft_steps import Steps

from outvote.core.contract import Lost
from outvote.errors import Rot
from outvote.protocols.raft.messages import (
    DONT_HAVE,
    Appended,
    AppendEntries,
    Heartbeat,
    QueryEntries,
    Vote,
)
from outvote.protocols.raft.records import Compacted, Identified, Voted, Wrote
from outvote.types import Position, ReplicaId


def filled(n: int = 3, count: int = 6, **parameters: int) -> Steps:
    """`count` operations, each an entry of its own behind the one that began the term, executed by all."""
    steps = Steps(n, **parameters)
    steps.elect(0)
    for number in range(1, count + 1):
        steps.submit(0, number)
        steps.settle()
    beat(steps, 0)
    assert all(steps.executed(me) == list(range(1, count + 1)) for me in range(n) if steps.state(me).keeps_data)
    return steps


def beat(steps: Steps, leader: ReplicaId, among: Iterable[ReplicaId] | None = None, times: int = 3) -> None:
    who = None if among is None else tuple(among)
    for _ in range(times):
        steps.pass_time(steps.state(leader).config.heartbeat_ns, *(who or range(steps.n)))
        steps.settle(who)


def lose(steps: Steps, me: ReplicaId, position: Position) -> None:
    """The record that holds this entry."""
    disk = steps.disks[me]
    [at] = [at for at, one in enumerate(disk) if isinstance(one, Wrote) and one.after + 1 == position and one.entries]
    disk[at] = Lost()


def terms(steps: Steps, me: ReplicaId) -> list[int]:
    return [entry.term for entry in steps.state(me).log.entries]


def test_different_committed_entries_of_two_of_three_logs_are_mended_and_nothing_is_cut_off() -> None:
    """A17 of the test plan."""
    steps = filled()
    before = terms(steps, 0)
    lose(steps, 0, 3)
    lose(steps, 1, 5)
    for me in range(3):
        steps.crash(me)
    assert [list(steps.state(me).repair.faulty) for me in range(3)] == [[3], [5], []]
    assert terms(steps, 0) == terms(steps, 1) == before, "it is known what is lost"
    steps.elect(0)
    beat(steps, 0)
    assert steps.state(0).leads
    assert all(terms(steps, me)[: len(before)] == before for me in range(3))
    assert all(steps.executed(me) == [1, 2, 3, 4, 5, 6] for me in range(3))
    for me in range(3):  # and that is durable
        steps.crash(me)
        assert not steps.state(me).repair.faulty


def test_one_copy_of_each_is_enough() -> None:
    steps = filled()
    for me, position in ((0, 2), (1, 2), (1, 4), (2, 4)):
        lose(steps, me, position)
    for me in range(3):
        steps.crash(me)
    steps.elect(1)
    beat(steps, 1, times=8)
    assert all(steps.executed(me) == [1, 2, 3, 4, 5, 6] for me in range(3))


def test_what_nobody_can_read_is_waited_for_and_never_cut_off() -> None:
    steps = filled()
    for me in range(3):
        lose(steps, me, 4)
        steps.crash(me)
    steps.elect(0)
    beat(steps, 0, times=20)
    state = steps.state(0)
    assert state.leads
    assert state.repair.pending
    assert state.log.term(4) == 1
    steps.submit(0, 7)
    beat(steps, 0)
    assert steps.executed(0) == [], "after the restart nothing is known to be committed"
    assert state.log.last == 7, "it begins no term and takes nothing in"


def test_what_a_majority_does_not_have_was_never_committed() -> None:
    """The leader alone wrote it. It fails, comes back without being able to read it, and is elected again."""
    steps = filled()
    steps.submit(0, 7)
    steps.letters.clear()
    lose(steps, 0, 8)
    steps.crash(0)
    steps.elect(0)
    assert list(steps.state(0).repair.faulty) == [8]
    beat(steps, 0)
    steps.submit(0, 8)
    beat(steps, 0)
    assert all(steps.executed(me) == [1, 2, 3, 4, 5, 6, 8] for me in range(3))


def test_one_that_does_not_have_it_is_not_enough() -> None:
    """Replica 2 was away when 0 and 1 committed it; now 1 is away, and 0 cannot read it."""
    steps = filled()
    steps.submit(0, 7)
    steps.settle((0, 1))
    beat(steps, 0, (0, 1))
    assert steps.executed(0)[-1] == 7
    steps.letters.clear()
    lose(steps, 0, 8)
    steps.crash(0)
    steps.elect(0, (0, 2))
    beat(steps, 0, (0, 2), times=20)
    assert list(steps.state(0).repair.faulty) == [8]
    assert list(steps.state(0).repair.faulty[8].dont_have) == [2]
    beat(steps, 0)
    assert all(steps.executed(me)[-1:] == [7] for me in range(3))


def test_a_word_of_another_term_counts_for_nothing() -> None:
    steps = filled()
    steps.submit(0, 7)
    steps.letters.clear()
    lose(steps, 0, 8)
    steps.crash(0)
    steps.elect(0)
    steps.letters.clear()
    steps.pass_time(steps.state(0).config.heartbeat_ns, 0)
    [query] = [one[2] for one in steps.take(QueryEntries, 1)][:1]
    assert isinstance(query, QueryEntries)
    steps.state(1).term -= 1
    steps.state(2).term -= 1
    for me in (1, 2):
        steps.hear((0, me, query))
    steps.settle((0, 1, 2), hold=lambda letter: letter[0] == 0)
    assert list(steps.state(0).repair.faulty) == [8]
    assert not steps.state(0).repair.faulty[8].dont_have


def test_a_follower_acknowledges_nothing_from_the_damage_on_and_is_mended() -> None:
    steps = filled()
    lose(steps, 1, 4)
    steps.crash(1)
    term, last = steps.state(0).term, steps.state(0).log.last
    steps.hear((0, 1, AppendEntries(term, last, term, (), last)))
    [(_, _, said)] = steps.take(Appended)
    assert said == Appended(term, 3)
    steps.hear((0, 1, Heartbeat(term, last, 99)))
    assert steps.executed(1) == [1, 2], "it began anew without a state, and stops before what it cannot read"
    steps.pass_time(1, 1)
    steps.settle((1, 2))
    assert steps.executed(1) == [1, 2, 3, 4, 5, 6], "any replica's copy will do"


def test_entries_that_the_leader_sends_again_mend_as_well() -> None:
    steps = filled()
    lose(steps, 1, 4)
    steps.crash(1)
    log = steps.state(0).log
    steps.hear((0, 1, AppendEntries(log.last_term, 3, 1, tuple(log.entries[3:]), log.last)))
    assert not steps.state(1).repair.faulty
    assert steps.executed(1) == [1, 2, 3, 4, 5, 6]


def test_a_leader_that_mends_proposes_nothing_and_confirms_no_read() -> None:
    steps = filled()
    lose(steps, 0, 4)
    steps.crash(0)
    steps.state(0).timers.cancel("repair")  # or it would be mended before it is elected
    steps.elect(0)
    core = steps.cores[0]
    steps.letters.clear()
    steps.submit(0, 7)
    core.ask_to_read()
    steps.drain(0)
    assert not steps.take(AppendEntries)
    assert core.known_at is None
    assert core.operate("hand-over", 1) == "busy: its log is being repaired"
    steps.state(0).timers.set("repair", steps.now)
    beat(steps, 0)
    assert all(steps.executed(me) == [1, 2, 3, 4, 5, 6, 7] for me in range(3))
    assert core.reads_confirmed == 1


def test_what_others_have_only_as_a_state_is_fetched_as_one() -> None:
    steps = filled(count=20, checkpoint_interval=4, window=4)
    disk = steps.disks[1]
    assert any(isinstance(one, Compacted) for one in disk), "its own log began anew as well"
    base = steps.state(1).log.base
    last = steps.state(1).log.last
    steps.submit(0, 21)
    steps.settle()
    lose(steps, 1, last + 1)
    for number in range(22, 40):
        steps.submit(0, number)
        steps.settle((0, 2))
    beat(steps, 0, (0, 2))
    assert steps.state(0).log.base > last + 1 > base
    steps.crash(1)
    assert list(steps.state(1).repair.faulty) == [last + 1]
    for _ in range(40):
        beat(steps, 0, times=1)
        if steps.state(1).fetching is not None:
            break
    fetching = steps.state(1).fetching
    assert fetching is not None
    assert fetching.position > last + 1
    steps.cores[1].transferred(fetching.position, fetching.digest)
    steps.drain(1)
    assert not steps.state(1).repair.faulty
    assert not steps.state(1).lacks_state


def test_a_vote_that_cannot_be_read_is_told_by_the_identifiers() -> None:
    steps = Steps(3)
    steps.elect(0, (0, 1))
    disk = steps.disks[1]
    [at] = [at for at, one in enumerate(disk) if isinstance(one, Voted) and one.candidate == 0]
    disk[at] = Lost()
    voted, term = 0, steps.state(1).term
    steps.crash(1)
    assert (steps.state(1).term, steps.state(1).voted) == (term, voted)


def test_a_configuration_that_cannot_be_read_is_told_by_the_identifiers() -> None:
    steps = Steps(4, learners=0b1000)
    steps.elect(0)
    steps.settle()
    assert steps.cores[0].change_voters((0, 1, 3)) == ""
    steps.drain(0)
    beat(steps, 0)
    for at, one in enumerate(steps.disks[2]):
        if isinstance(one, Wrote) and any(entry.members is not None for entry in one.entries):
            steps.disks[2][at] = Lost()
    steps.crash(2)
    assert steps.state(2).members.voters == (0, 1, 3)
    assert len(steps.state(2).repair.faulty) == 2
    beat(steps, 0)
    assert not steps.state(2).repair.faulty


def test_identifiers_of_the_next_records_tell_as_well() -> None:
    """A whole sector is gone, with records and what was to name them."""
    steps = filled()
    disk = steps.disks[1]
    at = next(at for at, one in enumerate(disk) if isinstance(one, Wrote) and one.after == 2)
    for place in range(at, at + 4):
        disk[place] = Lost()
    steps.crash(1)
    assert terms(steps, 1) == terms(steps, 0)
    beat(steps, 0)
    assert steps.executed(1) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("repair", [0, 1])
def test_damage_that_nothing_tells_of_stops_the_replica(repair: int) -> None:
    steps = filled(repair=repair)
    disk = steps.disks[1]
    assert any(isinstance(one, Identified) for one in disk) == bool(repair)
    if repair:
        disk[-2:] = [Lost(), Lost()]
    else:
        lose(steps, 1, 3)
    with pytest.raises(Rot, match="nothing behind them tells what they were"):
        steps.crash(1)


def test_where_the_log_begins_stands_there_twice() -> None:
    steps = filled(count=20, checkpoint_interval=4, window=4)
    disk = steps.disks[1]
    members, last = steps.state(1).members, steps.state(1).log.last
    first = next(at for at, one in enumerate(disk) if isinstance(one, Compacted))
    assert sum(isinstance(one, Compacted) for one in disk) >= 2
    disk[first] = Lost()
    steps.crash(1)
    assert (steps.state(1).members, steps.state(1).log.last) == (members, last)


def test_a_witness_mends_itself() -> None:
    steps = filled(witnesses=0b100)
    before = terms(steps, 2)
    lose(steps, 2, 4)
    steps.crash(2)
    assert terms(steps, 2) == before
    assert not steps.state(2).repair.faulty
    assert not steps.take(QueryEntries)


def test_a_vote_is_given_by_what_the_log_is_known_to_hold() -> None:
    """Faulty slots count: whoever lacks what they may hold is not elected."""
    steps = filled()
    steps.submit(0, 7)
    steps.settle((0, 1))
    steps.letters.clear()
    lose(steps, 1, 8)
    steps.crash(1)
    for _ in range(3):
        steps.time_out(2)
        steps.settle((1, 2))
        assert not steps.state(2).leads
    assert not steps.take(Vote)
    assert steps.state(1).log.last == 8


def test_the_words_are_the_papers() -> None:
    steps = filled()
    steps.hear((0, 1, QueryEntries(1, ((4, 9),))))
    [answers] = [one[2] for one in steps.letters if one[0] == 1]
    assert answers.answers[0].what == DONT_HAVE  # type: ignore[attr-defined]


def test_the_first_entry_behind_where_the_log_begins_is_named_as_well() -> None:
    steps = filled(count=20, checkpoint_interval=4, window=8)
    steps.crash(1)
    base = steps.state(1).log.base
    assert base
    last = steps.state(1).log.last
    assert last - base < 16
    steps.submit(0, 21)
    steps.settle()
    disk = steps.disks[1]
    named = [one for one in disk if isinstance(one, Identified)][-1]
    assert named.first == base + 1
    at = next(at for at, one in enumerate(disk) if isinstance(one, Wrote) and one.after == base)
    disk[at : disk.index(named)] = [Lost()] * (disk.index(named) - at)
    steps.crash(1)
    assert list(steps.state(1).repair.faulty) == list(range(base + 1, last + 2))


def test_a_leader_whose_entry_others_hold_only_in_a_state_leaves_the_lead() -> None:
    steps = filled()
    state = steps.state(0)
    lose(steps, 0, 7)
    steps.crash(0)
    steps.state(0).timers.cancel("repair")
    steps.elect(0)
    state = steps.state(0)
    steps.letters.clear()
    for me in (1, 2):
        steps.state(me).log.compact(7)
    state.timers.set("repair", steps.now)
    beat(steps, 0, times=20)
    assert not state.leads
    assert state.repair.state_of == 7
    assert state.lacks_state
    before = state.term
    for _ in range(3):
        steps.pass_time(4 * state.config.view_timeout_ns, 0)
    assert state.term == before, "nor does it stand for election"
    assert state.log.term(7) == 1, "and nothing is cut off"
