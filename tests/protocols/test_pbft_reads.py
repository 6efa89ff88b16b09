"""From which position on a replica's state may be read, and who is told of decisions unasked."""

from __future__ import annotations

from pbft_pieces import batch, core, hear, prepared, said, seal
from test_pbft_restart import A, restored

from outvote.protocols.pbft.messages import Decided, QueryReached, ReachedReply, Status
from outvote.protocols.pbft.records import Accepted, Prepared
from outvote.protocols.pbft.replica import PbftReplica
from outvote.types import SECOND


def nonce_of(replica: PbftReplica) -> int:
    replica.now = max(replica.now, replica.wake_at)
    replica.wake()
    (query,) = said(replica, QueryReached)
    assert isinstance(query, QueryReached)
    return query.nonce


def test_a_fresh_replica_may_be_read_at_once() -> None:
    assert core(1).reads_at == 0


def a_restarted_one_waits() -> None:
    """It may have told clients of what no disk of its own remembers."""
    again = restored(1, [Accepted(0, 1, A, batch(1), seal(0)), Prepared(prepared(0, 1, A))])
    assert again.reads_at is None
    nonce = nonce_of(again)
    hear(again, 0, ReachedReply(nonce + 1, 0))
    hear(again, 2, ReachedReply(nonce, 0))
    hear(again, 2, ReachedReply(nonce, 1))
    assert again.reads_at is None, "one answer of another replica, and one to another question"
    hear(again, 3, ReachedReply(nonce, 7))
    assert again.reads_at == 7, "as far as the farther of two others"


def test_a_restarted_one_waits_until_enough_others_have_said_how_far_they_are() -> None:
    a_restarted_one_waits()


def test_a_liar_that_is_far_ahead_is_left_out_once_all_have_answered() -> None:
    again = restored(1, [Accepted(0, 1, A, batch(1), seal(0)), Prepared(prepared(0, 1, A))])
    nonce = nonce_of(again)
    hear(again, 3, ReachedReply(nonce, 1 << 60))
    hear(again, 2, ReachedReply(nonce, 0))
    assert again.reads_at == 1 << 60
    hear(again, 0, ReachedReply(nonce, 1))
    assert again.reads_at == 1, "its own prepared position counts as well"
    for other in (0, 2):
        hear(again, other, Decided(1, batch(1)))
    assert again.state.delivered == 1
    assert again.state.reached_nonce == 0, "nothing more to ask"


def test_the_question_is_answered_with_what_was_prepared_or_decided() -> None:
    other = restored(2, [Accepted(0, 3, A, batch(1), seal(0)), Prepared(prepared(0, 3, A))])
    hear(other, 1, QueryReached(5))
    assert said(other, ReachedReply) == [ReachedReply(5, 3)]


def test_decisions_are_pushed_to_those_that_lack_them_and_not_too_often() -> None:
    one = core(1)
    for teller in (0, 2):
        hear(one, teller, Decided(1, batch(1)))
    hear(one, 2, Status(0, True, 0, 1, b""))
    hear(one, 3, Status(0, True, 0, 0, b""))
    one.out.clear()
    one.now += SECOND
    one.asked_again(1)
    assert one.out.hints == [(0, Decided(1, batch(1))), (3, Decided(1, batch(1)))], "2 has it"
    one.out.clear()
    one.asked_again(1)
    assert one.out.hints == [], "once in a while only"
    one.now += one.state.config.status_interval_ns
    one.asked_again(1)
    assert len(one.out.hints) == 2
