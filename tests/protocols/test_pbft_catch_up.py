"""What a replica answers to STATUS, and what it does with the answers: all that the other lacks, nothing else."""

from __future__ import annotations

import msgspec
import pytest
from pbft_pieces import (
    CONFIG,
    batch,
    certified,
    core,
    hear,
    new_view,
    prepared,
    proposal,
    recorded,
    request,
    said,
    seal,
    stable_at_4,
    state_digest,
    view_change,
)

from outvote.core.checkpoints import Checkpoint
from outvote.core.contract import Message, digest_of
from outvote.protocols.pbft.catch_up import ANSWERED_BYTES_MAX, ANSWERED_SLOTS_MAX
from outvote.protocols.pbft.config import PbftConfig
from outvote.protocols.pbft.messages import (
    PHASES_MAX,
    Batch,
    Commit,
    Decided,
    FetchBatch,
    FetchedBatch,
    NewViewProof,
    Prepare,
    PrePrepare,
    StableProof,
    Status,
)
from outvote.protocols.pbft.records import Body
from outvote.protocols.pbft.replica import PbftReplica

WIDE = PbftConfig(checkpoint_interval=64, window=128)
HEAVY = msgspec.structs.replace(CONFIG, batch_bytes_max=1024 * 1024)
PROPOSED, PREPARED, COMMITTED = 1, 2, 4


def digest(number: int) -> bytes:
    return digest_of(batch(number))


def propose(one: PbftReplica, *positions: int, view: int = 0) -> None:
    for position in positions:
        hear(one, view % 4, proposal(view, position, batch(position)))


def prepare(one: PbftReplica, *positions: int) -> None:
    for position in positions:
        for sender in [other for other in (1, 2, 3) if other != one.me][:2]:
            hear(one, sender, Prepare(0, position, digest(position)))
        if one.me:
            hear(one, one.me, Prepare(0, position, digest(position)))


def commit(one: PbftReplica, *positions: int) -> None:
    for position in positions:
        for sender in range(4):
            hear(one, sender, Commit(0, position, digest(position)))


def answers(one: PbftReplica, status: Status, sender: int = 3) -> list[Message]:
    """What it says to the sender of a STATUS, and to nobody else."""
    one.out.clear()
    hear(one, sender, status)
    lanes = [*one.out.messages, *one.out.hints]
    assert all(receiver == sender for receiver, _ in lanes)
    return [message for _, message in lanes]


def ask(one: PbftReplica) -> Status:
    """What it asks when its clock has run: at the second tick at the latest, if something was delivered before."""
    one.out.clear()
    while not said(one, Status):
        one.now = one.state.timers.deadline("status")
        one.wake()
    (status,) = said(one, Status)
    assert isinstance(status, Status)
    return status


NOTHING = Status(0, True, 0, 0, b"")


# ---------------------------------------------------------------------- what STATUS says


def test_status_tells_each_phase_and_leaves_out_the_empty_end() -> None:
    replica = core(1)
    propose(replica, 1, 3, 4)
    prepare(replica, 3, 4)
    commit(replica, 4)
    hear(replica, 2, Prepare(0, 6, digest(6)))
    assert ask(replica) == Status(0, True, 0, 0, bytes([PROPOSED, 0, PROPOSED | PREPARED, 7]))


def test_status_of_an_idle_replica_and_of_one_between_views() -> None:
    replica = core(1)
    assert ask(replica) == NOTHING
    hear(replica, 2, view_change(2))
    hear(replica, 3, view_change(2))
    assert ask(replica) == Status(2, False, 0, 0, b"")


def test_status_begins_behind_what_is_delivered_and_describes_a_bounded_number() -> None:
    replica = core(1, config=WIDE)
    propose(replica, 1, PHASES_MAX + 1, PHASES_MAX + 2)
    prepare(replica, 1)
    commit(replica, 1)
    assert ask(replica) == Status(0, True, 0, 1, bytes(PHASES_MAX - 1) + bytes([PROPOSED]))
    assert PHASES_MAX == 64


# ---------------------------------------------------------------------- who is answered, and when


def test_nobody_answers_himself() -> None:
    replica = core(1)
    propose(replica, 1)
    assert answers(replica, NOTHING, sender=1) == []


def test_one_answer_in_half_an_interval_a_sender() -> None:
    replica = core(1)
    propose(replica, 1)
    half = CONFIG.status_interval_ns // 2
    replica.now = 7
    assert answers(replica, NOTHING)
    replica.now = 7 + half - 1
    assert not answers(replica, NOTHING)
    assert answers(replica, NOTHING, sender=2), "each has a limit of its own"
    replica.now = 7 + half
    assert answers(replica, NOTHING)
    assert not answers(replica, NOTHING)


# ---------------------------------------------------------------------- checkpoints and views


def test_the_stable_checkpoint_is_shown_to_who_is_behind_it() -> None:
    replica = stable_at_4(1)
    proof = StableProof(replica.state.certified)
    assert answers(replica, Status(0, True, 0, 3, b"")) == [proof]
    assert answers(stable_at_4(1), Status(0, True, 4, 4, b"")) == []


def test_our_own_checkpoints_are_said_again_to_who_lacks_their_certificate() -> None:
    replica = core(1)
    replica.restore(8, b"", [])
    replica.executed(4, state_digest(4))
    replica.executed(8, state_digest(8))
    both = [Checkpoint(4, state_digest(4)), Checkpoint(8, state_digest(8))]
    assert answers(replica, Status(0, True, 0, 8, b"")) == both
    assert answers(replica, Status(0, True, 4, 8, b""), sender=2) == both[1:]
    assert answers(replica, Status(0, True, 8, 8, b""), sender=0) == []


def in_view_1(me: int) -> PbftReplica:
    replica = core(me)
    hear(replica, 1, new_view(1, dict.fromkeys((0, 1, 3), view_change(1)), []))
    assert (replica.state.view, replica.state.active) == (1, True)
    return replica


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        (Status(0, True, 0, 0, b""), True),
        (Status(0, False, 0, 0, b""), True),
        (Status(1, False, 0, 0, b""), True),
        (Status(1, True, 0, 0, b""), False),
        (Status(2, False, 0, 0, b""), False),
        (Status(2, True, 0, 0, b""), False),
    ],
)
def test_the_new_view_is_shown_to_who_missed_it(status: Status, shown: bool) -> None:
    replica = in_view_1(2)
    proof = NewViewProof(1, new_view(1, dict.fromkeys((0, 1, 3), view_change(1)), []), seal(1))
    assert answers(replica, status) == ([proof] if shown else [])


def test_there_is_no_new_view_to_show_in_view_0() -> None:
    assert answers(core(1), Status(0, False, 0, 0, b"")) == []


@pytest.mark.parametrize(("view", "shown"), [(0, True), (2, True), (3, False)])
def test_who_is_changing_view_says_so_again(view: int, shown: bool) -> None:
    replica = core(1)
    hear(replica, 2, view_change(2))
    hear(replica, 3, view_change(2))
    assert answers(replica, Status(view, False, 0, 0, b"")) == ([view_change(2)] if shown else [])


# ---------------------------------------------------------------------- slots


@pytest.mark.parametrize("phase", range(8))
def test_a_backup_repeats_what_the_other_lacks(phase: int) -> None:
    replica = core(1)
    propose(replica, 1, 2)
    prepare(replica, 1)
    told = answers(replica, Status(0, True, 0, 0, bytes([phase, PROPOSED | PREPARED])))
    wanted: list[Message] = [] if phase & PREPARED else [Prepare(0, 1, digest(1))]
    assert told == [*wanted, Commit(0, 1, digest(1))]


@pytest.mark.parametrize("phase", range(8))
def test_a_primary_repeats_its_proposal_instead(phase: int) -> None:
    replica = core(0)
    propose(replica, 1)
    told = answers(replica, Status(0, True, 0, 0, bytes([phase])))
    assert told == ([] if phase & PROPOSED else [proposal(0, 1, batch(1))])
    prepare(replica, 1)
    told = answers(replica, Status(0, True, 0, 0, bytes([phase])), sender=2)
    assert Commit(0, 1, digest(1)) in told


def test_what_is_decided_is_told_to_who_has_not_decided_it() -> None:
    replica = core(1)
    propose(replica, 1, 2)
    prepare(replica, 1, 2)
    commit(replica, 1, 2)
    first, second = Decided(1, batch(1)), Decided(2, batch(2))
    again = [kind(0, place, digest(place)) for place in (1, 2) for kind in (Prepare, Commit)]
    assert answers(replica, NOTHING) == [*again, first, second]
    assert answers(replica, Status(0, True, 0, 1, b""), sender=2) == [*again[2:], second]
    assert answers(replica, Status(0, True, 0, 0, bytes([COMMITTED])), sender=0) == [*again[2:], second]
    for other in (Status(0, False, 0, 0, b""), Status(1, True, 0, 0, b"")):
        replica.now += CONFIG.status_interval_ns
        assert answers(replica, other) == [first, second], "votes of this view are no use to it"


def test_the_gap_before_a_slot_and_places_without_a_proposal_are_passed_over() -> None:
    replica = core(1)
    propose(replica, 2)
    hear(replica, 2, Prepare(0, 1, digest(1)))
    assert answers(replica, NOTHING) == [Prepare(0, 2, digest(2))]


def test_places_that_nobody_spoke_of_are_passed_over() -> None:
    replica = core(1)
    propose(replica, 2, 4)
    told = answers(replica, NOTHING)
    assert told == [Prepare(0, 2, digest(2)), Prepare(0, 4, digest(4))]


def test_phases_are_counted_from_what_the_other_delivered() -> None:
    replica = core(1)
    propose(replica, 2, 3)
    told = answers(replica, Status(0, True, 0, 1, bytes([PROPOSED | PREPARED, PROPOSED])))
    assert told == [Prepare(0, 3, digest(3))]


def test_one_answer_describes_a_bounded_number_of_slots() -> None:
    replica = core(1, config=WIDE)
    propose(replica, *range(1, ANSWERED_SLOTS_MAX + 3))
    told = answers(replica, NOTHING)
    assert told == [Prepare(0, place, digest(place)) for place in range(1, ANSWERED_SLOTS_MAX + 1)]
    assert ANSWERED_SLOTS_MAX == 32


def large(position: int) -> Batch:
    """A little over a quarter of the bytes that one answer may hold."""
    assert ANSWERED_BYTES_MAX == 2 * 1024 * 1024
    return Batch(0, (msgspec.structs.replace(request(position), operations=(bytes(512 * 1024),)),))


def test_one_answer_holds_a_bounded_number_of_bytes() -> None:
    """It ends with the batch that fills it; the next STATUS asks for the rest."""
    replica = core(1, config=HEAVY)
    for position in range(1, 7):
        for sender in (2, 3):
            hear(replica, sender, Decided(position, large(position)))
    told = answers(replica, NOTHING)
    assert told == [Decided(position, large(position)) for position in range(1, 5)]
    primary = core(0, config=HEAVY)
    for position in range(1, 7):
        hear(primary, 0, proposal(0, position, large(position)))
    assert len(answers(primary, NOTHING)) == 4


def test_what_the_other_has_forgotten_begins_behind_our_own_stable_checkpoint() -> None:
    replica = stable_at_4(1)
    propose(replica, 5, 6)
    told = answers(replica, Status(0, True, 0, 1, bytes(8)))
    assert told == [Prepare(0, 5, digest(5)), Prepare(0, 6, digest(6)), StableProof(replica.state.certified)]


# ---------------------------------------------------------------------- who is ahead of us, asked for its votes


def test_who_delivered_what_is_undecided_here_is_told_our_votes() -> None:
    replica = core(1)
    propose(replica, 1, 2, 3, 4)
    hear(replica, 3, Commit(0, 2, digest(2)))
    told = answers(replica, Status(0, True, 0, 3, b""))
    assert told == [Prepare(0, 4, digest(4)), Prepare(0, 1, digest(1)), Prepare(0, 3, digest(3))]


def test_who_is_ahead_is_told_nothing_of_what_is_decided_or_unknown_here() -> None:
    replica = core(1)
    propose(replica, 1, 3, 4)
    for sender in (0, 2):
        hear(replica, sender, Decided(3, batch(3)))
    told = answers(replica, Status(0, True, 0, 4, b""))
    assert told == [Prepare(0, 1, digest(1)), Prepare(0, 4, digest(4))]


@pytest.mark.parametrize(("view", "active"), [(0, False), (1, True), (1, False)])
def test_who_is_ahead_in_another_view_is_not(view: int, active: bool) -> None:
    replica = core(1)
    propose(replica, 1, 2)
    assert answers(replica, Status(view, active, 0, 3, b"")) == []


def test_who_is_ahead_is_told_a_bounded_number() -> None:
    replica = core(1, config=WIDE)
    propose(replica, *range(1, 50))
    told = answers(replica, Status(0, True, 0, 60, b""))
    assert told == [Prepare(0, place, digest(place)) for place in range(1, ANSWERED_SLOTS_MAX + 1)]
    primary = core(0, config=HEAVY)
    for position in range(1, 7):
        hear(primary, 0, proposal(0, position, large(position)))
    assert len(answers(primary, Status(0, True, 0, 8, b""))) == 4


# ---------------------------------------------------------------------- decisions and batches from others


def test_f_plus_1_equal_words_decide_and_the_batch_is_recorded() -> None:
    replica = core(1)
    hear(replica, 2, Decided(1, batch(1)))
    hear(replica, 0, Decided(1, batch(2)))
    assert not replica.out.deliveries
    assert not replica.state.slots[1].batches, "one word brings no batch along"
    hear(replica, 3, Decided(1, batch(1)))
    assert [delivery.requests for delivery in replica.out.deliveries] == [batch(1).requests]
    assert recorded(replica, Body) == [Body(1, batch(1))]
    decision = replica.state.slots[1].committed
    assert decision is not None
    assert (decision.told, decision.voters, decision.digest) == (True, (2, 3), digest(1))


def test_a_batch_that_is_here_already_is_not_recorded_twice() -> None:
    replica = core(1)
    propose(replica, 1)
    for sender in (2, 3):
        hear(replica, sender, Decided(1, batch(1)))
    assert len(replica.out.deliveries) == 1
    assert not recorded(replica, Body)


def test_a_batch_is_given_to_who_asks_for_its_digest() -> None:
    replica = core(2)
    propose(replica, 1)
    replica.out.clear()
    for question in (FetchBatch(1, digest(2)), FetchBatch(2, digest(1))):
        hear(replica, 1, question)
    hear(replica, 2, FetchBatch(1, digest(1)))
    assert not replica.out.hints
    hear(replica, 1, FetchBatch(1, digest(1)))
    assert replica.out.hints == [(1, FetchedBatch(1, batch(1)))]


def must_propose(*certificates: tuple[int, int]) -> PbftReplica:
    """The primary of view 1, which has to propose batches that it does not have."""
    primary = core(1)
    shown = [prepared(0, position, digest(number)) for position, number in certificates]
    changes = dict.fromkeys((0, 2, 3), view_change(1, *shown))
    wanted = {position: digest(number) for position, number in certificates}
    hear(primary, 1, new_view(1, changes, sorted(wanted.items())))
    return primary


def test_a_new_primary_asks_for_one_batch_after_the_other() -> None:
    primary = must_propose((1, 1), (2, 2))
    assert said(primary, FetchBatch) == [FetchBatch(1, digest(1))]
    primary.out.clear()
    hear(primary, 3, FetchedBatch(2, batch(2)))
    assert not primary.out.waits(), "not its turn: it will be asked for"
    hear(primary, 3, FetchedBatch(1, batch(1)))
    assert said(primary, PrePrepare) == [proposal(1, 1, batch(1))]
    assert said(primary, FetchBatch) == [FetchBatch(2, digest(2))]
    hear(primary, 3, FetchedBatch(2, batch(2)))
    assert said(primary, PrePrepare) == [proposal(1, 1, batch(1)), proposal(1, 2, batch(2))]
    assert not primary.out.lies


def test_a_batch_beyond_its_window_is_not_taken_by_a_primary_whose_checkpoint_is_behind() -> None:
    """A liar could send it unasked: then a correct primary would hold more slots than its window has, and stop."""
    primary = core(1)
    beyond = CONFIG.window + 1
    change = view_change(1, prepared(0, beyond, digest(1)), stable=certified(CONFIG.window))
    hear(primary, 1, new_view(1, dict.fromkeys((0, 2, 3), change), [(beyond, digest(1))]))
    assert primary.state.leads()
    assert primary.state.low == 0, "it has not executed up to the checkpoint of the others yet"
    assert primary.state.required == {beyond: digest(1)}
    hear(primary, 3, FetchedBatch(beyond, batch(1)))
    assert not primary.state.slots
    assert not primary.out.lies, "it may have asked before it crashed"
    assert not said(primary, PrePrepare)


def test_another_batch_than_the_one_asked_for_is_a_lie() -> None:
    primary = must_propose((1, 1))
    primary.out.clear()
    hear(primary, 3, FetchedBatch(1, batch(2)))
    assert primary.out.lies == [(3, "batch that nobody asked for")]
    assert not said(primary, PrePrepare)
