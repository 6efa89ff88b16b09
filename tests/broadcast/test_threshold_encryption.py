"""Opening a ciphertext together: what is checked before a share is given, and what is made of a bad one."""

from __future__ import annotations

import pytest
from schedules import Room

from outvote.broadcast.component import Lines
from outvote.broadcast.stand_in import SPOILED, StandInEncryption, deal
from outvote.broadcast.threshold_encryption import DecryptionShare, ThresholdDecryption, label_of
from outvote.core.committee import Committee
from outvote.core.contract import ALL

LABEL = label_of(b"cluster", 1, 0)


def room(seed: int, liars: tuple[int, ...] = ()) -> tuple[Room, list[ThresholdDecryption], list[StandInEncryption]]:
    committee, lines = Committee(4), [Lines() for _ in range(4)]
    systems = [system for _, system in deal(committee, seed)]
    parts = [ThresholdDecryption(me, 0, committee, lines[me], systems[me], LABEL) for me in range(4)]
    return Room([None if me in liars else part for me, part in enumerate(parts)], lines, seed), parts, systems


@pytest.mark.parametrize("seed", range(10))
def test_all_open_it_though_some_give_false_shares(seed: int) -> None:
    there, parts, systems = room(seed, liars=(3,))
    ciphertext = systems[0].encrypt(LABEL, b"a batch", bytes(32))
    assert b"a batch" not in ciphertext
    there.post(3, ALL, DecryptionShare(b"false"))
    for part in parts[: 1 + seed % 3]:
        part.begin(ciphertext)
    there.run()
    for part in parts[:3]:
        part.begin(ciphertext)
    there.run()
    assert [(part.done, part.plaintext) for part in parts[:3]] == [(True, b"a batch")] * 3
    assert {culprit for lines in there.lines for culprit, _ in lines.faults} <= {3}


def test_f_shares_open_nothing() -> None:
    there, parts, systems = room(1)
    parts[0].begin(systems[0].encrypt(LABEL, b"secret", bytes(32)))
    there.collect()
    there.run(lambda letter: letter.receiver == 0)
    assert not parts[0].done


@pytest.mark.parametrize("spoil", [lambda one: b"", lambda one: b"short", lambda one: one[:-1] + bytes([one[-1] ^ 1])])
def test_without_a_proof_it_is_nothing_at_once_and_no_share_is_given(spoil: object) -> None:
    assert callable(spoil)
    there, parts, systems = room(1)
    mauled = spoil(systems[0].encrypt(LABEL, b"secret", bytes(32)))
    for part in parts:
        part.begin(mauled)
    there.run()
    assert [(part.done, part.plaintext) for part in parts] == [(True, None)] * 4
    assert there.delivered == []
    assert all(lines.faults == [(0, "a ciphertext without a proof")] for lines in there.lines)


def test_another_place_s_ciphertext_is_nothing() -> None:
    """hb_cca_maul: passed off as one's own, it would show what is in it, or have it ordered twice."""
    there, parts, systems = room(1)
    for part in parts:
        part.begin(systems[0].encrypt(label_of(b"cluster", 1, 2), b"secret", bytes(32)))
    there.run()
    assert [(part.done, part.plaintext) for part in parts] == [(True, None)] * 4


def test_a_payload_that_does_not_open_is_nothing_for_all() -> None:
    there, parts, systems = room(1)
    for part in parts:
        part.begin(systems[0].encrypt(LABEL, SPOILED, bytes(32)))
    there.run()
    assert [(part.done, part.plaintext) for part in parts] == [(True, None)] * 4
    assert all(lines.faults == [(0, "a ciphertext whose payload does not open")] for lines in there.lines)


def test_a_false_share_that_came_first_is_not_combined() -> None:
    there, parts, systems = room(1, liars=(0,))
    there.post(0, ALL, DecryptionShare(b"false"))
    there.run()
    ciphertext = systems[0].encrypt(LABEL, b"secret", bytes(32))
    for part in parts[1:3]:
        part.begin(ciphertext)
    parts[3]._lines.take()
    there.run()
    assert [(part.done, part.plaintext) for part in parts[1:3]] == [(True, b"secret")] * 2


def test_bound_by_the_share_it_gave() -> None:
    there, parts, systems = room(1)
    ciphertext = systems[0].encrypt(LABEL, b"secret", bytes(32))
    parts[0].bind(DecryptionShare(b""))
    parts[0].begin(ciphertext)
    there.run()
    assert there.delivered == []
