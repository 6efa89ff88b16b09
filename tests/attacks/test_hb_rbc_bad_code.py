"""A proposer commits to shards of which different ones give different values.

Passes if nobody delivers any: who has decoded codes again and compares the root.
"""

from __future__ import annotations

import pytest
from rooms import broadcast_room
from schedules import Room

from outvote.broadcast.reliable import Echo, Ready, Val
from outvote.core.contract import ALL
from outvote.crypto import branches, erasure


def bad_code(there: Room, proposer: int) -> None:
    """hb_rbc_bad_code: a root over shards of which different ones give different values."""
    shards = list(erasure.encode(b"one value", 2, 4))
    shards[1] = bytes(byte ^ 1 for byte in shards[1])
    root, proofs = branches.tree(shards)
    for receiver in range(4):
        there.post(proposer, receiver, Val(root, proofs[receiver], shards[receiver]))
    there.post(proposer, ALL, Echo(root, proofs[proposer], shards[proposer]))
    there.post(proposer, ALL, Ready(root))


@pytest.mark.parametrize("seed", range(20))
def test_shards_that_are_no_code_word_are_delivered_by_nobody_and_recorded(seed: int) -> None:
    there, parts = broadcast_room(4, seed, liars=(3,), proposer=3)
    bad_code(there, 3)
    there.run()
    assert [part.delivered for part in parts[:3]] == [None] * 3
    assert all((3, "shards that do not code to their root") in lines.faults for lines in there.lines[:3])
