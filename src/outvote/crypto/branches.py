"""Merkle branches over a fixed number of shards: one root stands for all of them, a branch shows that one is its own.

Leaves and inner nodes are hashed under different prefixes (RFC 6962), and a leaf's hash covers its index and how many
there are: so a node cannot pass for a leaf, nor a shard for its neighbour, nor a tree for one of another size. The
tree is filled up to a power of two with leaves that no shard has.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final, TypeAlias

from outvote.types import DIGEST_BYTES, Digest

Branch: TypeAlias = tuple[Digest, ...]  # the siblings from the leaf up to below the root

_LEAF: Final = b"\0"
_NODE: Final = b"\1"
_ABSENT: Final = sha256(b"\2").digest()


def depth(total: int) -> int:
    """How many siblings a branch over so many shards has."""
    return (total - 1).bit_length()


def _leaf(shard: bytes, index: int, total: int) -> Digest:
    return sha256(_LEAF + index.to_bytes(2, "big") + total.to_bytes(2, "big") + shard).digest()


def _node(left: Digest, right: Digest) -> Digest:
    return sha256(_NODE + left + right).digest()


def tree(shards: Sequence[bytes]) -> tuple[Digest, tuple[Branch, ...]]:
    """The root, and one branch a shard."""
    total = len(shards)
    row = [_leaf(shard, index, total) for index, shard in enumerate(shards)]
    row += [_ABSENT] * ((1 << depth(total)) - total)
    branches: list[list[Digest]] = [[] for _ in shards]
    level = 0
    while len(row) > 1:
        for index, branch in enumerate(branches):
            branch.append(row[(index >> level) ^ 1])
        row = [_node(row[at], row[at + 1]) for at in range(0, len(row), 2)]
        level += 1
    return row[0], tuple(tuple(branch) for branch in branches)


def belongs(root: Digest, branch: Branch, shard: bytes, index: int, total: int) -> bool:
    """Whether this shard is the one at `index` of `total` under the root."""
    if not 0 <= index < total or len(branch) != depth(total):
        return False
    node = _leaf(shard, index, total)
    for level, sibling in enumerate(branch):
        if len(sibling) != DIGEST_BYTES:
            return False
        node = _node(sibling, node) if (index >> level) & 1 else _node(node, sibling)
    return node == root
