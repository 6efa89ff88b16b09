"""An authenticated map of bytes to bytes: any two maps of equal content have equal digests, any others do not.

A trie of 16 branches over the SHA-256 of the keys, so that no order of writing can unbalance it. A subtree whose leaves
are few and small is one bucket, hashed at once; any other is an inner node; one that holds nothing is not there. So
the shape depends on the content alone, not on how it came about. Versions are immutable and share what they have in
common: `update` makes new nodes only on the way to what changed, so a version costs memory, and its digest time, in
the number of buckets that the change touches.

A node's path is the text of the hexadecimal digits that lead to it: "" is the root. A node may be in a store (see
merkle_store.py) and then holds its content only while that is looked at.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from operator import is_
from struct import Struct
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from outvote.errors import Mistake
from outvote.machines.merkle_branch import Branch
from outvote.types import DIGEST_BYTES, Digest

BRANCHES: Final = 16
PATH_DIGITS: Final = 2 * DIGEST_BYTES
KEY_BYTES_MAX: Final = 2048
VALUE_BYTES_MAX: Final = 64 * 1024  # a leaf travels in one message, four to a part
# More leaves to a bucket: fewer nodes, and more to hash for one changed leaf: 8 KiB take 6 microseconds.
BUCKET_LEAVES_MAX: Final = 64
BUCKET_BYTES_MAX: Final = 8 * 1024  # of their records; one leaf alone may be longer


# Domains: no bucket, node or empty map can be taken for another, nor for anything that is signed.
_BUCKET: Final = b"outvote merkle leaf\x00"
_INNER: Final = b"outvote merkle node\x00"
EMPTY_DIGEST: Final[Digest] = sha256(b"outvote merkle none\x00").digest()

_KEY_HEAD: Final = Struct(">H")
_VALUE_HEAD: Final = Struct(">I")
RECORD_HEAD_BYTES: Final = _KEY_HEAD.size + _VALUE_HEAD.size
_DIGITS: Final = "0123456789abcdef"
_SLOT: Final = {digit: slot for slot, digit in enumerate(_DIGITS)}

# One leaf as bytes: bytes of the key (2), key, bytes of the value (4), value. Sorted, they are in the order of the
# keys' lengths and then of the keys. What comes before the value's length is the record's prefix: no other record of
# the map begins with it.
Record: TypeAlias = bytes


class Leaf(NamedTuple):
    """One key and its value."""

    key: bytes
    value: bytes

    @property
    def record(self) -> Record:
        return record_of(self.key, self.value)


class Source(Protocol):
    """Where the content of nodes is that do not hold it themselves."""

    def load(self, node: Node) -> Content:
        """The content of a node of this source. Raises BrokenStorage if it is not what its digest says."""


Bucket: TypeAlias = tuple[Record, ...]  # the leaves below a node that has no children, sorted
Content: TypeAlias = Branch | Bucket


class Node:
    """A subtree: its digest, and what is in it. Neither ever changes; `held` is None while a source has the content."""

    __slots__ = ("count", "digest", "held", "place", "size_bytes", "source")

    def __init__(
        self, digest: Digest, count: int, size_bytes: int, held: Content | None, source: Source | None = None,
        place: int = 0,
    ) -> None:  # fmt: skip
        self.digest = digest
        self.count = count  # leaves below
        self.size_bytes = size_bytes  # of their records
        self.held = held
        self.source = source
        self.place = place  # in the source; 0: it has none

    @property
    def content(self) -> Content:
        held = self.held
        if held is None:
            assert self.source is not None, "a node has its content or a source of it"
            return self.source.load(self)
        return held


# What is to become of one leaf: its path, its record's prefix, its record; None: it goes.
Change: TypeAlias = tuple[str, bytes, Record | None]


def path_of(key: bytes) -> str:
    """Where a key belongs: PATH_DIGITS hexadecimal digits."""
    return sha256(key).hexdigest()


def change(key: bytes, value: bytes | None) -> Change:
    """Raises Mistake if one of both is too long."""
    if len(key) > KEY_BYTES_MAX or (value is not None and len(value) > VALUE_BYTES_MAX):
        raise Mistake(
            f"a leaf of {len(key)} + {len(value or b'')} bytes; a key may have {KEY_BYTES_MAX} and a value "
            f"{VALUE_BYTES_MAX}: cut it into pieces (see leaves.py)"
        )
    prefix = _KEY_HEAD.pack(len(key)) + key
    return path_of(key), prefix, None if value is None else prefix + _VALUE_HEAD.pack(len(value)) + value


def record_of(key: bytes, value: bytes) -> Record:
    return _KEY_HEAD.pack(len(key)) + key + _VALUE_HEAD.pack(len(value)) + value


def key_of(record: Record) -> bytes:
    return record[2 : 2 + int.from_bytes(record[:2], "big")]


def leaf_of(record: Record) -> Leaf:
    middle = 2 + int.from_bytes(record[:2], "big")
    return Leaf(record[2:middle], record[middle + 4 :])


def bucket_digest(body: bytes) -> Digest:
    """`body`: one record or more, sorted, one behind the other."""
    return sha256(_BUCKET + body).digest()


def inner_digest(bitmap: int, digests: bytes) -> Digest:
    """`digests`: those of the children, one behind the other, DIGEST_BYTES each."""
    return sha256(_INNER + bitmap.to_bytes(2, "big") + digests).digest()


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
        for digit in path:
            if node is None:
                return None
            content = node.content
            if not isinstance(content, Branch):
                return _value(content, key)
            node = child(content, _SLOT[digit])
        return None

    def update(self, changes: Mapping[bytes, bytes | None]) -> MerkleMap:
        """The version in which each of these keys has its new value, or is gone where that is None."""
        return self.merge([change(key, value) for key, value in changes.items()])

    def merge(self, changes: list[Change]) -> MerkleMap:
        """`update`, for who has made the changes; no key may come twice."""
        root = _merge(self.root, 0, changes) if changes else self.root
        return self if root is self.root else MerkleMap(root)

    def leaves(self) -> Iterator[Leaf]:
        """All of them; buckets come by path, and the leaves in each as their records are sorted."""
        return map(leaf_of, records_below(self.root))

    def records(self) -> Iterator[Record]:
        """The same as bytes."""
        return records_below(self.root)

    def node(self, path: str) -> Node | None:
        """The subtree at `path`, or None. Where a bucket further up holds these leaves, the node that they would be."""
        node = self.root
        for depth, digit in enumerate(path):
            if node is None:
                return None
            content = node.content
            if not isinstance(content, Branch):
                below = [one for one in content if path_of(key_of(one)).startswith(path[depth:], depth)]
                return build(below, len(path))
            node = child(content, _SLOT[digit])
        return node

    def children(self, path: str) -> dict[int, Node]:
        """The subtrees one digit below `path`, by slot; of a bucket, what they would be."""
        return children_of(self.node(path), len(path))

    def changed_since(self, older: MerkleMap) -> Iterator[bytes]:
        """The keys whose values differ, gone ones and new ones included; costs time in their number."""
        return _differing(older.root, self.root)


EMPTY: Final = MerkleMap()


def children_of(node: Node | None, depth: int) -> dict[int, Node]:
    """`MerkleMap.children` of a node at this depth."""
    if node is None:
        return {}
    content = node.content
    if isinstance(content, Branch):
        return dict(zip(slots(content.bitmap), content.children, strict=True))
    below: dict[int, list[Record]] = {}
    for record in content:
        below.setdefault(_SLOT[path_of(key_of(record))[depth]], []).append(record)
    return {slot: _bucket(below[slot]) for slot in sorted(below)}


def child(branch: Branch, slot: int) -> Node | None:
    bit = 1 << slot
    if not branch.bitmap & bit:
        return None
    found: Node = branch.children[(branch.bitmap & (bit - 1)).bit_count()]
    return found


def _value(bucket: Bucket, key: bytes) -> bytes | None:
    prefix = len(key).to_bytes(2, "big") + key
    at = bisect_left(bucket, prefix)
    return bucket[at][len(prefix) + 4 :] if at < len(bucket) and bucket[at].startswith(prefix) else None


def records_below(node: Node | None) -> Iterator[Record]:
    pending: list[Node] = [node] if node is not None else []
    while pending:
        content = pending.pop().content
        if isinstance(content, Branch):
            pending.extend(reversed(content.children))
        else:
            yield from content


def build(records: Sequence[Record], depth: int = 0) -> Node | None:
    """The subtree of these leaves, whose keys differ and whose paths have the first `depth` digits in common."""
    if fits(len(records), sum(map(len, records))):
        return _bucket(records) if records else None
    return _split([(path_of(key_of(record)), record) for record in records], depth)


def fits(count: int, size_bytes: int) -> bool:
    """Whether so much is one bucket. What is less fits too, so the shape does not depend on the order of changes."""
    return count <= 1 or (count <= BUCKET_LEAVES_MAX and size_bytes <= BUCKET_BYTES_MAX)


def _bucket(records: Iterable[Record]) -> Node:
    bucket = tuple(sorted(records))
    body = b"".join(bucket)
    return Node(bucket_digest(body), len(bucket), len(body), bucket)


def inner(bitmap: int, children: Sequence[Node]) -> Node:
    """`children` by slot, lowest first."""
    return Node(
        inner_digest(bitmap, b"".join([node.digest for node in children])), sum([node.count for node in children]),
        sum([node.size_bytes for node in children]), Branch(bitmap, tuple(children)),
    )  # fmt: skip


def _split(puts: list[tuple[str, Record]], depth: int) -> Node | None:
    """The subtree of these leaves, each with its path."""
    if fits(len(puts), sum([len(record) for _, record in puts])):
        return _bucket([record for _, record in puts]) if puts else None
    groups: dict[str, list[tuple[str, Record]]] = {}
    for put in puts:
        groups.setdefault(put[0][depth], []).append(put)
    bitmap = 0
    children: list[Node] = []
    for digit in sorted(groups):
        node = _split(groups[digit], depth + 1)
        assert node is not None
        bitmap |= 1 << _SLOT[digit]
        children.append(node)
    return inner(bitmap, children)


def _merge(node: Node | None, depth: int, changes: list[Change]) -> Node | None:
    """The subtree after these changes, which all belong into it; `node` itself if they change nothing."""
    if node is None:
        return _split([(path, record) for path, _, record in changes if record is not None], depth)
    content = node.content
    if not isinstance(content, Branch):
        return _merge_bucket(node, content, depth, changes)
    bitmap = content.bitmap
    children: list[Any] = list(content.children)
    others: dict[int, Node | None] = {}  # new ones, and None for those that are gone
    count, size_bytes = node.count, node.size_bytes
    for digit, group in _by_digit(changes, depth).items():
        slot = _SLOT[digit]
        bit = 1 << slot
        place = (bitmap & (bit - 1)).bit_count()
        old = children[place] if bitmap & bit else None
        new = _merge(old, depth + 1, group)
        if new is old:
            continue
        if old is None or new is None:
            others[slot] = new
        else:
            children[place] = new
        if new is not None:
            count += new.count
            size_bytes += new.size_bytes
        if old is not None:
            count -= old.count
            size_bytes -= old.size_bytes
    if others:
        by_slot = dict(zip(slots(bitmap), children, strict=True)) | others
        left = [slot for slot in sorted(by_slot) if by_slot[slot] is not None]
        bitmap = sum([1 << slot for slot in left])
        children = [by_slot[slot] for slot in left]
    elif all(map(is_, children, content.children)):
        return node
    if fits(count, size_bytes):
        records = [record for one in children for record in records_below(one)]
        return _bucket(records) if records else None
    digests = b"".join([one.digest for one in children])
    return Node(inner_digest(bitmap, digests), count, size_bytes, Branch(bitmap, tuple(children)))


def _by_digit(changes: list[Change], depth: int) -> dict[str, list[Change]]:
    groups: dict[str, list[Change]] = {}
    for one in changes:
        digit = one[0][depth]
        if digit in groups:
            groups[digit].append(one)
        else:
            groups[digit] = [one]
    return groups


def _merge_bucket(node: Node, bucket: Bucket, depth: int, changes: list[Change]) -> Node | None:
    if len(changes) > BUCKET_LEAVES_MAX:
        return _merge_many(bucket, depth, changes)
    records = list(bucket)
    is_changed = False
    for _, prefix, record in changes:
        at = bisect_left(records, prefix)
        if at < len(records) and records[at].startswith(prefix):
            if record is None:
                del records[at]
            elif record == records[at]:
                continue
            else:
                records[at] = record
        elif record is None:
            continue
        else:
            records.insert(at, record)
        is_changed = True
    if not is_changed:
        return node
    body = b"".join(records)
    if fits(len(records), len(body)):
        return Node(bucket_digest(body), len(records), len(body), tuple(records)) if records else None
    return _split([(path_of(key_of(record)), record) for record in records], depth)


def _merge_many(bucket: Bucket, depth: int, changes: list[Change]) -> Node | None:
    """`_merge_bucket` for more changes than a bucket has room for."""
    puts = {prefix: (path, record) for path, prefix, record in changes}
    for record in bucket:
        key = key_of(record)
        puts.setdefault(record[: 2 + len(key)], (path_of(key), record))
    return _split([(path, record) for path, record in puts.values() if record is not None], depth)


def _differing(old: Node | None, new: Node | None) -> Iterator[bytes]:
    if old is new or (old is not None and new is not None and old.digest == new.digest):
        return
    before = old.content if old is not None else None
    after = new.content if new is not None else None
    if isinstance(before, Branch) and isinstance(after, Branch):
        for slot in range(BRANCHES):
            yield from _differing(child(before, slot), child(after, slot))
        return
    # One of both is a bucket or nothing: compare record by record.
    records = {key_of(record): record for record in records_below(old)}
    for record in records_below(new):
        key = key_of(record)
        if records.pop(key, b"") != record:
            yield key
    yield from records
