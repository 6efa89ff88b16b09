"""Erasure coding and Merkle branches: any shards that are enough will do, and nothing that does not belong does."""

from __future__ import annotations

from itertools import combinations
from random import Random

import pytest

from outvote.crypto import branches, erasure
from outvote.errors import Lie


@pytest.mark.parametrize(("data", "total"), [(1, 1), (2, 4), (3, 5), (4, 10)])
@pytest.mark.parametrize("size", [0, 1, 7, 1000])
def test_any_shards_that_are_enough_give_the_value(data: int, total: int, size: int) -> None:
    value = Random(size).randbytes(size)
    shards = erasure.encode(value, data, total)
    for indices in combinations(range(total), data):
        assert erasure.decode({index: shards[index] for index in indices}, data, total) == value


def test_large_committees_sampled() -> None:
    random = Random(1)
    value = random.randbytes(3000)
    shards = erasure.encode(value, 34, 100)
    assert {len(shard) for shard in shards} == {erasure.shard_bytes(3000, 34)}
    for _ in range(5):
        chosen = random.sample(range(100), 34)
        assert erasure.decode({index: shards[index] for index in chosen}, 34, 100) == value


def test_the_payloads_are_those_of_the_native_library() -> None:
    driver = pytest.importorskip("pyeclib.ec_iface")
    for data, total in ((2, 4), (6, 16)):
        native = driver.ECDriver(k=data, m=total - data, ec_type="isa_l_rs_cauchy")
        value = Random(total).randbytes(data * 64 - 4)
        framed = len(value).to_bytes(4, "big") + value
        size = erasure.shard_bytes(len(value), data)
        assert [one[80 : 80 + size] for one in native.encode(framed)] == list(erasure.encode(value, data, total))


@pytest.mark.parametrize(
    "shards",
    [{}, {0: b"aaaa"}, {0: b"aaaa", 1: b"aaa"}, {0: b"", 1: b""}, {0: b"\xff" * 4, 1: b"\xff" * 4}, {0: b"a", 4: b"a"}],
)
def test_what_is_no_value_is_a_lie(shards: dict[int, bytes]) -> None:
    with pytest.raises(Lie):
        erasure.decode(shards, 2, 4)


@pytest.mark.parametrize("total", [1, 2, 4, 5, 7, 100])
def test_branches_belong_where_they_were_made(total: int) -> None:
    shards = [bytes([index]) for index in range(total)]
    root, proofs = branches.tree(shards)
    for index in range(total):
        assert branches.belongs(root, proofs[index], shards[index], index, total)
        for elsewhere in range(-1, total + 1):
            if elsewhere != index:
                assert not branches.belongs(root, proofs[index], shards[index], elsewhere, total)
        assert not branches.belongs(root, proofs[index], b"other", index, total)
        assert not branches.belongs(root, proofs[index], shards[index], index, total + 1)
        assert not branches.belongs(root, (*proofs[index], root), shards[index], index, total)


def test_a_node_is_no_leaf() -> None:
    """Two shards' hashes, given as one shard, would have the same root in a tree without prefixes."""
    shards = [b"a", b"b", b"c", b"d"]
    root, proofs = branches.tree(shards)
    inner = branches.tree(shards)[1][2][1]  # the node above shards 0 and 1
    assert not branches.belongs(root, proofs[0][1:], inner, 0, 2)
    assert not branches.belongs(root, (proofs[0][0][:31], *proofs[0][1:]), shards[0], 0, 4)
