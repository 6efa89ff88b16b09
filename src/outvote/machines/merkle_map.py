"""An authenticated map of bytes to bytes: any two maps of equal content have equal digests, any others do not.

A trie of 16 branches over the SHA-256 of the keys, so that no order of writing can unbalance it. A subtree that holds
one leaf is that leaf; a subtree that holds none is not there: the shape depends on the content alone, not on how it
came about. Versions are immutable and share what they have in common: `update` makes new nodes only on the way to what
changed, so a version costs memory, and its digest time, in the size of the change.

A node's path is the text of the hexadecimal digits that lead to it: "" is the root.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from struct import Struct
from typing import Any, Final, TypeAlias

import msgspec

from outvote.errors import Mistake
from outvote.types import DIGEST_BYTES, Digest

BRANCHES: Final = 16
PATH_DIGITS: Final = 2 * DIGEST_BYTES
KEY_BYTES_MAX: Final = 2048
VALUE_BYTES_MAX: Final = 64 * 1024  # a leaf travels in one message, four to a part

# Domains: no leaf, node or empty map can be taken for another, nor for anything that is signed.
_LEAF: Final = b"outvote merkle leaf\x00"
_INNER: Final = b"outvote merkle node\x00"
EMPTY_DIGEST: Final[Digest] = sha256(b"outvote merkle none\x00").digest()

_HEAD: Final = Struct(">HI").pack
RECORD_HEAD_BYTES: Final = 6
_DIGITS: Final = "0123456789abcdef"
_SLOT: Final = {digit: slot for slot, digit in enumerate(_DIGITS)}


class Leaf(msgspec.Struct, frozen=True, gc=False):
    """One key and its value. `record` is what the digest is taken over and what an image holds: bytes of the key (2),
    bytes of the value (4), key, value."""

    key: bytes
    record: bytes
    digest: Digest
    size_bytes: int  # of the record
    count: int = 1

    @property
    def value(self) -> bytes:
        return self.record[RECORD_HEAD_BYTES + len(self.key) :]


class Inner(msgspec.Struct, frozen=True, gc=False):
    """At least two leaves; `children` holds one node for each bit of `bitmap`, lowest slot first."""

    bitmap: int
    children: tuple[Any, ...]  # of Node
    digest: Digest
    count: int  # leaves below
    size_bytes: int  # of their records


Node: TypeAlias = Leaf | Inner
Change: TypeAlias = tuple[str, bytes, bytes | None]  # path, key, value; None: the key goes
_Put: TypeAlias = tuple[str, Leaf]


def path_of(key: bytes) -> str:
    """Where a key belongs: PATH_DIGITS hexadecimal digits."""
    return sha256(key).hexdigest()


def leaf_digest(key: bytes, value: bytes) -> Digest:
    return sha256(_LEAF + _record(key, value)).digest()


def _record(key: bytes, value: bytes) -> bytes:
    return _HEAD(len(key), len(value)) + key + value


def inner_digest(bitmap: int, digests: bytes) -> Digest:
    """`digests`: those of the children, one behind the other, DIGEST_BYTES each."""
    return sha256(_INNER + bitmap.to_bytes(2, "big") + digests).digest()


def leaf_of(key: bytes, value: bytes) -> Leaf:
    """Raises Mistake if one of both is too long."""
    if len(key) > KEY_BYTES_MAX or len(value) > VALUE_BYTES_MAX:
        raise Mistake(
            f"a leaf of {len(key)} + {len(value)} bytes; a key may have {KEY_BYTES_MAX} and a value {VALUE_BYTES_MAX}: "
            "cut it into pieces (see leaves.py)"
        )
    record = _HEAD(len(key), len(value)) + key + value
    return Leaf(key, record, sha256(_LEAF + record).digest(), len(record))


def slots(bitmap: int) -> Iterator[int]:
    """The bits that are set, lowest first."""
    while bitmap:
        lowest = bitmap & -bitmap
        yield lowest.bit_length() - 1
        bitmap ^= lowest


class MerkleMap:
    """One version. `update` returns another and leaves this one as it is."""

    __slots__ = ("root",)

    def __init__(self, root: Node | None = None) -> None:
        self.root = root

    @property
    def digest(self) -> Digest:
        """Stands for the whole content."""
        return self.root.digest if self.root is not None else EMPTY_DIGEST

    @property
    def size_bytes(self) -> int:
        """Of all keys and values, and 6 for each."""
        return self.root.size_bytes if self.root is not None else 0

    def __len__(self) -> int:
        return self.root.count if self.root is not None else 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MerkleMap) and self.digest == other.digest

    __hash__ = None  # type: ignore[assignment]

    def get(self, key: bytes) -> bytes | None:
        return self.at(path_of(key), key)

    def at(self, path: str, key: bytes) -> bytes | None:
        """`get`, for who knows the key's path."""
        node = self.root
        depth = 0
        while isinstance(node, Inner):
            bit = 1 << _SLOT[path[depth]]
            bitmap = node.bitmap
            if not bitmap & bit:
                return None
            node = node.children[(bitmap & (bit - 1)).bit_count()]
            depth += 1
        return node.value if isinstance(node, Leaf) and node.key == key else None

    def update(self, changes: Mapping[bytes, bytes | None]) -> MerkleMap:
        """The version in which each of these keys has its new value, or is gone where that is None."""
        return self.merge([(path_of(key), key, value) for key, value in changes.items()])

    def merge(self, changes: list[Change]) -> MerkleMap:
        """`update`, for who knows the paths; no key may come twice."""
        root = _merge(self.root, 0, changes) if changes else self.root
        return self if root is self.root else MerkleMap(root)

    def leaves(self) -> Iterator[Leaf]:
        """All of them, by path."""
        return leaves_below(self.root)

    def node(self, path: str) -> Node | None:
        """The subtree at `path`: one leaf, several below an inner node, or None. A leaf that has its place higher up,
        because it is alone there, is found at every path that leads on to it."""
        node = self.root
        for depth, digit in enumerate(path):
            if not isinstance(node, Inner):
                return node if node is not None and path_of(node.key).startswith(path[depth:], depth) else None
            node = child(node, _SLOT[digit])
        return node

    def children(self, path: str) -> dict[int, Node]:
        """The subtrees one digit below `path`, by slot."""
        node = self.node(path)
        if isinstance(node, Inner):
            return dict(zip(slots(node.bitmap), node.children, strict=True))
        if node is None:
            return {}
        return {_SLOT[path_of(node.key)[len(path)]]: node}

    def changed_since(self, older: MerkleMap) -> Iterator[bytes]:
        """The keys whose values differ, gone ones and new ones included; costs time in their number."""
        return _differing(older.root, self.root, 0)


EMPTY: Final = MerkleMap()


def child(node: Inner, slot: int) -> Node | None:
    bit = 1 << slot
    if not node.bitmap & bit:
        return None
    found: Node = node.children[(node.bitmap & (bit - 1)).bit_count()]
    return found


def leaves_below(node: Node | None) -> Iterator[Leaf]:
    pending: list[Node] = [node] if node is not None else []
    while pending:
        one = pending.pop()
        if isinstance(one, Inner):
            pending.extend(reversed(one.children))
        else:
            assert isinstance(one, Leaf)
            yield one


def build(leaves: list[Leaf], depth: int = 0) -> Node | None:
    """The subtree of these leaves, whose keys differ and whose paths have the first `depth` digits in common."""
    return _build([(path_of(leaf.key), leaf) for leaf in leaves], depth)


def _inner(bitmap: int, children: list[Node]) -> Inner:
    """`children` by slot, lowest first."""
    return Inner(
        bitmap, tuple(children), inner_digest(bitmap, b"".join([node.digest for node in children])),
        sum([node.count for node in children]), sum([node.size_bytes for node in children]),
    )  # fmt: skip


def _build(puts: list[_Put], depth: int) -> Node | None:
    if len(puts) <= 1:
        return puts[0][1] if puts else None
    groups: dict[str, list[_Put]] = {}
    for put in puts:
        groups.setdefault(put[0][depth], []).append(put)
    bitmap = 0
    children: list[Node] = []
    for digit in sorted(groups):
        node = _build(groups[digit], depth + 1)
        assert node is not None
        bitmap |= 1 << _SLOT[digit]
        children.append(node)
    return _inner(bitmap, children)


def _merge(node: Node | None, depth: int, changes: list[Change]) -> Node | None:
    """The subtree after these changes, which all belong into it; `node` itself if they change nothing."""
    if not isinstance(node, Inner):
        return _merge_few(node, depth, changes)
    if len(changes) == 1:
        groups = {changes[0][0][depth]: changes}
    else:
        groups = {}
        for change in changes:
            groups.setdefault(change[0][depth], []).append(change)
    bitmap = node.bitmap
    children: list[Node | None] = list(node.children)
    added: dict[int, Node] = {}
    is_changed = False
    count, size_bytes = node.count, node.size_bytes
    for digit, group in groups.items():
        slot = _SLOT[digit]
        bit = 1 << slot
        if not bitmap & bit:
            new = _merge_few(None, depth + 1, group)
            if new is not None:
                added[slot] = new
            continue
        place = (bitmap & (bit - 1)).bit_count()
        old = children[place]
        new = _merge(old, depth + 1, group) if isinstance(old, Inner) else _merge_few(old, depth + 1, group)
        if new is not old:
            children[place] = new
            is_changed = True
            if new is not None and old is not None:
                count += new.count - old.count
                size_bytes += new.size_bytes - old.size_bytes
    if not is_changed and not added:
        return node
    if added or None in children or len(children) == 1:
        return _reshaped(bitmap, children, added)
    digests = b"".join([one.digest for one in children])  # type: ignore[union-attr]
    return Inner(bitmap, tuple(children), inner_digest(bitmap, digests), count, size_bytes)


def _reshaped(bitmap: int, children: list[Node | None], added: dict[int, Node]) -> Node | None:
    """The node of these children and some in new slots; those that are None are gone."""
    by_slot = dict(zip(slots(bitmap), children, strict=True))
    by_slot.update(added)
    left = [(slot, by_slot[slot]) for slot in sorted(by_slot) if by_slot[slot] is not None]
    if not left:
        return None
    if len(left) == 1 and isinstance(left[0][1], Leaf):
        return left[0][1]
    bitmap = 0
    for slot, _ in left:
        bitmap |= 1 << slot
    return _inner(bitmap, [node for _, node in left if node is not None])


def _merge_few(node: Leaf | None, depth: int, changes: list[Change]) -> Node | None:
    """`_merge` where there was one leaf at most."""
    if len(changes) == 1:
        _, key, value = changes[0]
        if node is None or key == node.key:
            if value is None:
                return None
            return node if node is not None and value == node.value else leaf_of(key, value)
    puts: list[_Put] = []
    stays = node is not None
    for path, key, value in changes:
        if node is not None and key == node.key:
            if value == node.value:
                continue
            stays = False
        if value is not None:
            puts.append((path, leaf_of(key, value)))
    if node is not None and stays:
        if not puts:
            return node
        puts.append((path_of(node.key), node))
    return _build(puts, depth)


def _differing(old: Node | None, new: Node | None, depth: int) -> Iterator[bytes]:
    if old is new or (old is not None and new is not None and old.digest == new.digest):
        return
    if isinstance(old, Inner) and isinstance(new, Inner):
        for slot in range(BRANCHES):
            yield from _differing(child(old, slot), child(new, slot), depth + 1)
        return
    # One of both is a leaf or nothing: compare leaf by leaf.
    before = {leaf.key: leaf.digest for leaf in leaves_below(old)}
    for leaf in leaves_below(new):
        if before.pop(leaf.key, b"") != leaf.digest:
            yield leaf.key
    yield from before
