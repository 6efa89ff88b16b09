"""Entering views without signatures: what a liar that leads some far view may not do."""

from __future__ import annotations

from pbft_pieces import CONFIG

from outvote.core.committee import Committee
from outvote.core.contract import digest_of
from outvote.protocols.pbft.authenticators.form import AUTHENTICATORS
from outvote.protocols.pbft.authenticators.messages import EnteredView, FetchViewChange, NewView, ViewChange
from outvote.protocols.pbft.replica import PbftReplica

ASKED = ViewChange(1, 0, ((0, b""),), (), ())
DIGEST = digest_of(ASKED)
NOBODYS = b"z" * 32
FAR = NewView(1_000_003, ((0, NOBODYS), (1, NOBODYS), (2, NOBODYS)), 0, b"", ())  # which replica 3 would lead


def replica() -> PbftReplica:
    one = PbftReplica(0, Committee(4), CONFIG, AUTHENTICATORS)
    one.restore(0, b"", [])
    one.out.clear()
    return one


def enters_view_1(one: PbftReplica) -> bool:
    for sender in (1, 2, 3):
        one.receive(sender, ASKED, b"")
    one.receive(1, NewView(1, tuple((sender, DIGEST) for sender in (1, 2, 3)), 0, b"", ()), b"")
    return one.state.view == 1 and one.state.active


def test_a_new_view_by_what_was_heard_is_entered() -> None:
    assert enters_view_1(replica())


def test_a_new_view_far_ahead_keeps_nobody_from_the_next_one() -> None:
    """Its VIEW-CHANGEs never come, so it would be waited with for ever."""
    for message in (FAR, EnteredView(FAR)):
        one = replica()
        one.receive(3, message, b"")
        assert one.state.unsigned.pending
        assert any(isinstance(hint, FetchViewChange) for _, hint in one.out.hints)
        assert enters_view_1(one)


def test_a_new_view_that_does_not_follow_is_left() -> None:
    one = replica()
    for sender in (1, 2, 3):
        one.receive(sender, ASKED, b"")
    names = tuple((sender, DIGEST) for sender in (1, 2, 3))
    one.receive(1, NewView(1, names, 0, b"", ((1, NOBODYS),)), b"")
    assert (one.state.view, one.state.active) == (2, False)
    assert one.out.lies
