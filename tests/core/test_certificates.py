"""Enough signers, all different, all members."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outvote.core.certificates import Seals, claims_of, sound
from outvote.core.checkpoints import Checkpoint
from outvote.core.committee import Committee
from outvote.core.contract import Claim

FOUR = Committee(4)


def seals(*signers: int) -> Seals:
    return tuple((signer, bytes(64)) for signer in signers)


def test_a_quorum_of_members_in_order_is_sound() -> None:
    assert sound(seals(0, 1, 3), 3, FOUR)
    assert sound(seals(0, 1, 2, 3), 3, FOUR)


@pytest.mark.parametrize(
    "signers", [(), (0, 1), (0, 1, 1), (1, 1, 1), (2, 1, 0), (0, 1, 4), (-1, 0, 1), (0, 1, 2, 3, 4), (0, 0, 1, 2)]
)
def test_anything_else_is_not(signers: tuple[int, ...]) -> None:
    assert not sound(seals(*signers), 3, FOUR)


def test_a_barred_signer_spoils_it() -> None:
    assert sound(seals(1, 2), 2, FOUR, barred=0)
    assert not sound(seals(0, 2), 2, FOUR, barred=0)
    assert not sound(seals(0, 1, 2), 2, FOUR, barred=0)


def test_claims_are_one_a_signer_over_the_same_statement() -> None:
    statement = Checkpoint(4, b"d")
    assert claims_of(statement, ((1, b"x"), (2, b"y"))) == [Claim(1, statement, b"x"), Claim(2, statement, b"y")]


@given(st.lists(st.integers(-1, 8), max_size=8), st.integers(1, 5))
def test_sound_means_enough_different_members(signers: list[int], needed: int) -> None:
    different = {signer for signer in signers if 0 <= signer < 4}
    if sound(seals(*signers), needed, FOUR):
        assert len(different) == len(signers) >= needed
    elif signers == sorted(set(signers)) and len(different) == len(signers):
        assert len(signers) < needed
