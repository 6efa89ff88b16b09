"""The PBFT core's calls from outside: each takes the clock, acts, proposes what can be proposed and sets the timers."""

from __future__ import annotations

from pbft_pieces import (
    CONFIG,
    batch,
    certified,
    core,
    hear,
    new_view,
    prepared,
    proposal,
    request,
    said,
    state_digest,
    view_change,
)

from outvote.core.checkpoints import Checkpoint
from outvote.core.committee import Committee
from outvote.core.contract import Record, Stable, Transfer, digest_of
from outvote.protocols.pbft.messages import (
    NULL_DIGEST,
    Commit,
    Decision,
    FetchBatch,
    Forward,
    Prepare,
    PrePrepare,
    StableProof,
    Status,
)
from outvote.protocols.pbft.records import Accepted, Body, Certified, Committed, Left
from outvote.protocols.pbft.replica import PbftReplica
from outvote.types import SECOND

A, B, C = (digest_of(batch(number)) for number in (1, 2, 3))
S4, S8, S12, S16 = (state_digest(position) for position in (4, 8, 12, 16))


def proposals(one: PbftReplica) -> list[PrePrepare]:
    return [message for message in said(one, PrePrepare) if isinstance(message, PrePrepare)]


# ---------------------------------------------------------------------- each call has its own time


def test_a_state_found_wrong_is_fetched_with_patience_from_now() -> None:
    one = core(1)
    one.restore(4, b"", [])
    for sender in (0, 2, 3):
        hear(one, sender, Checkpoint(4, S4))
    one.now = 50 * SECOND
    one.executed(4, S8)
    assert one.state.fetch_deadline == 52 * SECOND
    again = PbftReplica(1, Committee(4), CONFIG)
    again.now = 70 * SECOND
    again.restore(0, b"", [Certified(certified(4, S4))])
    assert again.state.fetch_deadline == 72 * SECOND


def test_a_checkpoint_executed_lets_the_primary_go_on() -> None:
    primary = core(0)
    primary.restore(8, b"", [])
    for sender in (1, 2, 3):
        hear(primary, sender, Checkpoint(8, S8))
    primary.submit([request()])
    assert not proposals(primary), "the window is full"
    primary.wall = 9
    primary.executed(8, S8)
    (made,) = proposals(primary)
    assert (made.position, made.batch.time) == (9, 9)


def test_a_state_that_has_come_lets_the_primary_go_on() -> None:
    primary = core(0)
    hear(primary, 3, StableProof(certified(4, S4)))
    primary.submit([request()])
    assert not proposals(primary), "a state is being fetched"
    primary.wall = 9
    primary.transferred(4, S4)
    (made,) = proposals(primary)
    assert (made.position, made.batch.time) == (5, 9)


def test_the_clock_makes_a_stuck_fetch_begin_again() -> None:
    one = core(1)
    hear(one, 3, StableProof(certified(12, S12)))
    hear(one, 3, StableProof(certified(16, S16)))
    one.out.clear()
    while one.now < one.state.fetch_deadline - CONFIG.status_interval_ns:
        one.now = one.wake_at
        one.wake()
    assert not one.out.transfers
    one.now = max(one.wake_at, one.state.fetch_deadline)
    one.wake()
    assert one.out.transfers == [Transfer(16, S16, (0, 2, 3), 2 * SECOND)]


# ---------------------------------------------------------------------- requests


def test_who_leads_forwards_nothing_and_who_is_between_views_waits_for_a_leader() -> None:
    primary = core(0)
    primary.submit([request()])
    assert not said(primary, Forward)
    one = core(3)
    for sender in (0, 1):
        hear(one, sender, view_change(1))
    one.out.clear()
    one.submit([request(), request()])
    assert not said(one, Forward)
    one.now = one.state.timers.deadline("status")
    one.wake()
    assert said(one, Status)
    assert not said(one, Forward)
    backup = core(3)
    backup.submit([request(), request()])
    assert len(said(backup, Forward)) == 1, "known already"


# ---------------------------------------------------------------------- where it stands


def test_standing_tells_what_it_is_doing() -> None:
    one = core(3)
    assert one.standing().note == "idle"
    one.submit([request()])
    standing = one.standing()
    assert (standing.note, standing.waiting, standing.leader, standing.stable) == ("ordering", 1, 0, 0)
    for sender in (0, 1):
        hear(one, sender, view_change(1))
    standing = one.standing()
    assert (standing.note, standing.view, standing.active) == ("changing to view 1: 2 of 3", 1, False)
    hear(one, 2, StableProof(certified(12, S12)))
    assert one.standing().note == "fetching the state of position 12"
    assert one.standing().stable == 12


# ---------------------------------------------------------------------- how often it asks


def often(one: PbftReplica) -> bool:
    """Whether its next question comes after the short interval."""
    wait = one.state.timers.deadline("status") - one.now
    assert wait in (CONFIG.status_interval_ns, CONFIG.idle_interval_ns)
    return wait == CONFIG.status_interval_ns


def idle(me: int = 3) -> PbftReplica:
    one = core(me)
    one.now = one.wake_at
    one.wake()
    one.out.clear()
    assert not often(one)
    return one


def test_whatever_is_missing_makes_it_ask_often() -> None:
    one = idle()
    hear(one, 0, proposal(0, 1, batch(1)))
    assert often(one), "a position is not decided"
    one = idle()
    for sender in (0, 1):
        hear(one, sender, view_change(1))
    assert often(one), "a view has not begun"
    one = idle()
    hear(one, 0, StableProof(certified(12, S12)))
    one.state.accepted_end = 0
    assert often(one), "a state is on its way"
    one = idle()
    for sender in (0, 1, 2):
        hear(one, sender, Checkpoint(4, S4))
    assert one.state.ahead is not None
    assert not one.state.fetching
    assert often(one), "others are ahead"


def test_a_replica_that_has_all_asks_at_each_tick_even_if_it_delivered_since() -> None:
    one = idle()
    hear(one, 0, proposal(0, 1, batch(1)))
    for sender in (0, 1, 2):
        hear(one, sender, Commit(0, 1, A))
    assert one.state.delivered == 1
    one.now = one.state.timers.deadline("status")
    one.wake()
    assert said(one, Status), "it is not busy: so this is the slow question, which a primary in the dark needs"


def test_a_view_change_after_a_restart_waits_as_long_as_the_first() -> None:
    one = PbftReplica(3, Committee(4), CONFIG)
    one.restore(0, b"", [Left(view_change(1))])
    for sender in (0, 2, 3):
        hear(one, sender, view_change(1))
    assert one.state.timers.deadline("view") == SECOND


# ---------------------------------------------------------------------- early messages and what came since


def test_an_early_vote_below_a_checkpoint_that_came_since_is_dropped() -> None:
    one = core(3)
    hear(one, 2, Prepare(1, 2, A), Prepare(1, 5, A))
    hear(one, 0, StableProof(certified(4, S4)))
    hear(one, 1, new_view(1, dict.fromkeys((0, 1, 2), view_change(1, stable=certified(4, S4))), []))
    assert one.state.active
    assert list(one.state.slots) == [5]


def test_o_is_taken_up_right_behind_a_checkpoint_that_came_since() -> None:
    primary = core(1)
    change = view_change(1, prepared(0, 2, C), prepared(0, 6, C))
    places = [(1, NULL_DIGEST), (2, C), (3, NULL_DIGEST), (4, NULL_DIGEST), (5, NULL_DIGEST), (6, C)]
    hear(primary, 1, new_view(1, dict.fromkeys((0, 2, 3), change), places))
    assert said(primary, FetchBatch) == [FetchBatch(2, C)]
    hear(primary, 3, StableProof(certified(4, S4)))
    primary.out.clear()
    primary.now = primary.state.timers.deadline("status")
    primary.wake()
    assert [one.position for one in proposals(primary)] == [5]
    assert said(primary, FetchBatch) == [FetchBatch(6, C)]


# ---------------------------------------------------------------------- the log leads to a checkpoint


def test_batches_that_came_with_decided_lead_on_like_others() -> None:
    records = [
        Accepted(0, 1, A, batch(1), bytes(64)), Body(2, batch(2)), Accepted(0, 3, C, batch(3), bytes(64)),
        Accepted(0, 4, A, batch(1), bytes(64)), Accepted(0, 5, C, batch(3), bytes(64)), Certified(certified(4, S4)),
        *(Committed(Decision(0, at, what, (0, 1, 2), at == 2)) for at, what in enumerate((A, B, C, A, C), 1)),
    ]
    one = PbftReplica(3, Committee(4), CONFIG)
    one.restore(0, b"", records)
    assert [delivery.position for delivery in one.out.deliveries] == [1, 2, 3, 4, 5]
    assert not one.out.transfers


def log_to(position: int) -> list[Record]:
    """All that leads to the certified checkpoint at `position`."""
    records: list[Record] = []
    for place in range(1, position + 1):
        digest = digest_of(batch(place))
        records.append(Accepted(0, place, digest, batch(place), bytes(64)))
        records.append(Committed(Decision(0, place, digest, (0, 1, 2), False)))
    return [*records, Certified(certified(position, state_digest(position)))]


def test_on_the_way_to_the_certified_checkpoint_earlier_ones_mean_nothing() -> None:
    one = PbftReplica(3, Committee(4), CONFIG)
    one.restore(0, b"", log_to(8))
    one.out.clear()
    one.executed(4, S4)
    assert not one.out.waits()
    one.executed(8, S8)
    assert one.out.stable == [Stable(8, S8)]
    one.executed(8, S8)
    assert one.out.stable == [Stable(8, S8)], "once"
    one.executed(8, S4)
    assert not one.out.transfers
