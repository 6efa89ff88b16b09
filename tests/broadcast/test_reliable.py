"""Reliable broadcast: agreement, totality, validity, and the proposer whose shards are no code word."""

from __future__ import annotations

import pytest
from rooms import broadcast_room

from outvote.broadcast.component import Lines
from outvote.broadcast.reliable import Echo, Ready, ReliableBroadcast, Val, data_shards
from outvote.core.committee import Committee
from outvote.core.contract import ALL
from outvote.crypto import branches, erasure


@pytest.mark.parametrize("n", [1, 4, 5, 7, 10])
@pytest.mark.parametrize("value", [b"", b"a", bytes(range(256)) * 7])
def test_all_deliver_what_a_correct_proposer_proposes(n: int, value: bytes) -> None:
    for seed in range(3):
        silent = tuple(range(n - Committee(n).faults, n))
        there, parts = broadcast_room(n, seed, silent)
        parts[0].propose(value)
        there.run()
        assert [part.delivered for part in parts[: n - len(silent)]] == [value] * (n - len(silent))
        assert not any(lines.faults for lines in there.lines)


@pytest.mark.parametrize("seed", range(40))
def test_a_proposer_who_says_two_things_is_delivered_alike_or_not_at_all(seed: int) -> None:
    """Replica 3 gives two values' shards to different replicas and backs both: all deliver one, or nobody does."""
    there, parts = broadcast_room(4, seed, liars=(3,), proposer=3)
    sets = []
    for value in (b"attack", b"retreat"):
        shards = erasure.encode(value, 2, 4)
        sets.append((*branches.tree(shards), shards))
    for receiver in range(3):
        root, proofs, shards = sets[there.random.randrange(2)]
        there.post(3, receiver, Val(root, proofs[receiver], shards[receiver]))
        root, proofs, shards = sets[there.random.randrange(2)]
        there.post(3, receiver, Echo(root, proofs[3], shards[3]))
        there.post(3, receiver, Ready(sets[there.random.randrange(2)][0]))
    there.run()
    delivered = [part.delivered for part in parts[:3]]
    assert delivered in ([None] * 3, [b"attack"] * 3, [b"retreat"] * 3)


def half_a_broadcast(seed: int) -> list[bytes | None]:
    """The proposer lies: VAL to two replicas, ECHO and READY to one."""
    there, parts = broadcast_room(4, seed, liars=(3,), proposer=3)
    shards = erasure.encode(b"for some", 2, 4)
    root, proofs = branches.tree(shards)
    for receiver in (0, 1):
        there.post(3, receiver, Val(root, proofs[receiver], shards[receiver]))
    there.post(3, 0, Echo(root, proofs[3], shards[3]))
    there.post(3, 0, Ready(root))
    there.run()
    return [part.delivered for part in parts[:3]]


def test_half_a_broadcast_is_delivered_by_nobody() -> None:
    assert all(half_a_broadcast(seed) == [None] * 3 for seed in range(20))


def test_one_liar_s_ready_makes_nobody_ready() -> None:
    """Else a root that nobody holds a shard of gets 2f + 1 of them."""
    there, _ = broadcast_room(4, 0, liars=(3,), proposer=3)
    there.post(3, ALL, Ready(bytes(32)))
    there.run()
    assert not any(letter.sender != 3 and isinstance(letter.body, Ready) for letter in there.delivered)


def test_shards_are_believed_only_from_where_they_belong() -> None:
    there, _ = broadcast_room(4, 0)
    shards = erasure.encode(b"value", 2, 4)
    root, proofs = branches.tree(shards)
    there.post(1, 2, Val(root, proofs[2], shards[2]))  # not the proposer
    there.post(0, 2, Val(root, proofs[1], shards[1]))  # another one's shard
    there.post(1, 2, Echo(root, proofs[0], shards[0]))
    there.post(0, 2, Val(root, proofs[2], bytes((1 << 16) + 1)))
    there.run()
    assert [culprit for culprit, _ in sorted(there.lines[2].faults)] == [0, 0, 1, 1]
    assert not any(letter.sender == 2 for letter in there.delivered)


def test_a_sender_counts_once() -> None:
    committee, lines = Committee(4), Lines()
    part = ReliableBroadcast(1, 0, committee, lines, 1 << 16)
    shards = erasure.encode(b"value", data_shards(committee), 4)
    root, proofs = branches.tree(shards)
    for _ in range(5):
        part.receive(2, Ready(root))
        part.receive(2, Echo(root, proofs[2], shards[2]))
    part.receive(3, Echo(root, proofs[3], shards[3]))
    assert not lines.said
    assert part.delivered is None


def test_bound_by_what_it_said_before_a_restart() -> None:
    committee, lines = Committee(4), Lines()
    part = ReliableBroadcast(1, 0, committee, lines, 1 << 16)
    shards = erasure.encode(b"another value", 2, 4)
    root, proofs = branches.tree(shards)
    part.bind(Echo(b"", (), b""))
    part.bind(Ready(b""))
    part.receive(0, Val(root, proofs[1], shards[1]))
    for sender in (0, 2, 3):
        part.receive(sender, Echo(root, proofs[sender], shards[sender]))
        part.receive(sender, Ready(root))
    assert lines.said == []
    assert part.delivered == b"another value"
