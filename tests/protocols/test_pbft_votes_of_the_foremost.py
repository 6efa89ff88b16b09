"""A replica that is ahead lacks nothing and asks for nothing, but others cannot go on without its votes.

f others may be silent, so one replica's word that something was decided is too little. Each of these was once wrong,
and the simulator found it.
"""

from __future__ import annotations

from pbft_pieces import CONFIG, batch, core, hear, new_view, prepared, proposal, said, view_change

from outvote.core.contract import Message, digest_of
from outvote.protocols.pbft.messages import Commit, Decided, Prepare, PrePrepare, Status
from outvote.protocols.pbft.replica import PbftReplica
from outvote.types import SECOND

A = digest_of(batch(1))


def decided(me: int) -> PbftReplica:
    """It voted for position 1 in view 0, executed it, and has said so."""
    one = core(me)
    hear(one, 0, proposal(0, 1, batch(1)))
    for voter in (0, 2, 3):
        if voter:
            hear(one, voter, Prepare(0, 1, A))
        hear(one, voter, Commit(0, 1, A))
    assert one.state.delivered == 1
    one.out.clear()
    return one


def test_it_repeats_its_vote_beside_saying_that_it_was_decided() -> None:
    """The asker was down when the votes were sent; with f silent replicas nobody else can say DECIDED."""
    one = decided(1)
    hear(one, 3, Status(0, True, 0, 0, b"\x03"))
    assert said(one, Decided) == [Decided(1, batch(1))]
    assert said(one, Commit) == [Commit(0, 1, A)]
    one.out.clear()
    one.now += CONFIG.status_interval_ns
    hear(one, 3, Status(0, True, 0, 0, b"\x07"))
    assert not one.out.messages, "who has the decision is told nothing"


def test_it_is_given_again_what_its_vote_would_follow_from() -> None:
    """In a new view it votes once more for what it executed long ago, and its STATUS does not say that it cannot."""
    primary = core(1)
    for sender in (0, 1, 2):
        hear(primary, sender, view_change(1, *([prepared(0, 1, A)] if sender == 0 else [])))
    primary.state.slot(1).batches[A] = batch(1)
    hear(primary, 1, new_view(1, {
        0: view_change(1, prepared(0, 1, A)), 1: view_change(1), 2: view_change(1)
    }, [(1, A)]))
    hear(primary, 1, PrePrepare(1, 1, A, batch(1)))
    primary.out.clear()
    hear(primary, 3, Status(1, True, 0, 1, b""))
    assert said(primary, PrePrepare) == [PrePrepare(1, 1, A, batch(1))]
    primary.out.clear()
    primary.now += CONFIG.status_interval_ns
    hear(primary, 3, Commit(1, 1, A), Status(1, True, 0, 1, b""))
    assert not said(primary, PrePrepare), "it has voted"


def test_proposals_that_overtake_their_new_view_are_kept_for_a_whole_window() -> None:
    """Of five that came early one was dropped, and who dropped it had executed that position and never asked for it."""
    one = core(2)
    digests = [digest_of(batch(position)) for position in range(1, CONFIG.window + 1)]
    certificates = [prepared(0, position, digest) for position, digest in enumerate(digests, 1)]
    for position, digest in enumerate(digests, 1):
        hear(one, 1, PrePrepare(1, position, digest, batch(position)))
    hear(one, 1, new_view(
        1, {0: view_change(1, *certificates), 1: view_change(1), 3: view_change(1)}, list(enumerate(digests, 1))
    ))
    votes: list[Message] = [Prepare(1, position, digest) for position, digest in enumerate(digests, 1)]
    assert said(one, Prepare) == votes


def test_a_proposal_repeated_late_is_no_lie_and_one_decided_meanwhile_needs_no_clock() -> None:
    """A primary that was down says again what it proposed before. Its receiver's clock has gone on."""
    fresh = core(2)
    fresh.wall = CONFIG.time_tolerance_ns + SECOND
    hear(fresh, 0, proposal(0, 1, batch(1)))
    assert not fresh.out.lies
    assert not said(fresh, Prepare)
    for teller in (0, 1):
        hear(fresh, teller, Decided(1, batch(1)))
    hear(fresh, 0, proposal(0, 1, batch(1)))
    assert said(fresh, Prepare) == [Prepare(0, 1, A)]
    assert not fresh.out.lies
