"""Votes: one a voter, by value, first come."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from outvote.core.tally import Tally

A, B = b"a", b"b"


def test_a_voters_first_vote_stands() -> None:
    tally: Tally[bytes] = Tally()
    assert tally.add(1, A, b"1")
    assert not tally.add(1, B, b"2")
    assert not tally.add(1, A, b"3")
    assert (tally.count(A), tally.count(B)) == (1, 0)
    assert tally.vote_of(1) == A
    assert tally.has(1)
    assert not tally.has(2)
    assert tally.vote_of(2) is None


def test_votes_count_by_value() -> None:
    tally: Tally[bytes] = Tally()
    for voter, value in ((3, A), (1, A), (2, B)):
        tally.add(voter, value, b"")
    assert tally.leading(2) == A
    assert tally.leading(3) is None
    assert tally.voters(A) == (1, 3)
    assert tally.voters(b"c") == ()


def test_seals_are_those_of_the_lowest_voters() -> None:
    tally: Tally[bytes] = Tally()
    for voter in (5, 2, 9, 0):
        tally.add(voter, A, bytes([voter]))
    assert tally.seals(A, 3) == ((0, b"\0"), (2, b"\2"), (5, b"\5"))
    assert tally.seals(B, 3) == ()


@given(st.lists(st.tuples(st.integers(0, 6), st.sampled_from((A, B)))))
def test_a_value_never_has_more_votes_than_voters_who_said_it_first(votes: list[tuple[int, bytes]]) -> None:
    tally: Tally[bytes] = Tally()
    first: dict[int, bytes] = {}
    for voter, value in votes:
        assert tally.add(voter, value, b"") == (voter not in first)
        first.setdefault(voter, value)
    for value in (A, B):
        assert tally.count(value) == sum(1 for said in first.values() if said == value)
        assert tally.voters(value) == tuple(sorted(voter for voter, said in first.items() if said == value))
