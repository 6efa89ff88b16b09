"""Keeps versions of a map in a node store, so that a state may be larger than memory.

A version that is written becomes a pointer of some bytes; what it shares with the version before is not written again,
so writing costs disk and time in the size of the change. Each version also leaves a list of the nodes that it no longer
has; they are removed when no version is left that has them. Invariant: a crash at any moment leaves every version that
a pointer was given out for as it was, until three newer ones were kept.

What is read is compared with the digest that led to it, each node at each time. `survey` reads everything once, at a
start, and leaves out what is damaged.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Generator, Iterator
from typing import Final, NamedTuple

from outvote.core.node_store import NodeStore, Place, Transaction
from outvote.errors import Rot
from outvote.machines.merkle_branch import Branch
from outvote.machines.merkle_map import (
    Bucket,
    Content,
    MerkleMap,
    Node,
    Record,
    bucket_digest,
    fits,
    inner,
    inner_digest,
    slots,
)
from outvote.types import Digest

CACHE_BYTES: Final = 16 * 1024 * 1024  # nodes as they are stored; as objects about twice as much
STEP_NODES: Final = 512  # at most 4 MiB written before whoever shares the thread has its turn
KEPT_VERSIONS: Final = 3  # two that a disk may begin from, and one whose pointer may not be durable yet

_POINTER: Final = struct.Struct(">6sQQQQQ32s")
_POINTER_MAGIC: Final = b"OVROOT"
_BITMAP: Final = struct.Struct(">H")
_CHILD: Final = struct.Struct(">32sQQQ")  # digest, leaves, bytes, place
_BUCKET: Final = b"b"
_BRANCH: Final = b"n"
_TOP: Final = b"top"  # the last place given out (8 bytes)
_KEPT: Final = b"kept"  # the last versions that were kept (8 bytes each)
_GONE: Final = b"gone"  # and a version (8 bytes): the places of the version before that it does not have (8 bytes each)


class Pointer(NamedTuple):
    """Where a version is; stands in a snapshot's place."""

    version: int
    top: Place  # no node of it has a larger place
    place: Place  # of its root; 0: it is empty
    leaves: int
    size_bytes: int
    digest: Digest

    def encode(self) -> bytes:
        return _POINTER.pack(_POINTER_MAGIC, *self)


def last_pointer(data: bytes) -> Pointer | None:
    """The last one that stands in these bytes, whole; nobody vouches for it."""
    at = data.rfind(_POINTER_MAGIC, 0, max(0, len(data) - _POINTER.size + len(_POINTER_MAGIC)))
    return Pointer(*_POINTER.unpack_from(data, at)[1:]) if at >= 0 else None


class Vault:
    """Over one store. `open` first; then versions are written one after the other."""

    def __init__(self, store: NodeStore) -> None:
        self._store = store
        self._cache: OrderedDict[Place, tuple[Content, int]] = OrderedDict()
        self._cached_bytes = 0
        self._last: Node | None = None  # the root of the version that was written last
        self._version = 0
        self._lost: list[Place] = []  # damaged nodes and those above them, which the next version does not have

    # ------------------------------------------------------------------ reading

    def load(self, node: Node) -> Content:
        """The content of a node that is in the store. Raises BrokenStorage."""
        cached = self._cache.get(node.place)
        if cached is not None:
            self._cache.move_to_end(node.place)
            return cached[0]
        content, size_bytes = self._read(node)
        self._cache[node.place] = content, size_bytes
        self._cached_bytes += size_bytes
        while self._cached_bytes > CACHE_BYTES:
            _, (_, freed_bytes) = self._cache.popitem(last=False)
            self._cached_bytes -= freed_bytes
        return content

    def _read(self, node: Node) -> tuple[Content, int]:
        """The same beside the cache, which belongs to the host's thread."""
        data = self._store.get(node.place)
        if data is None:
            raise Rot(f"the state's store: node {node.place} is missing; restart, and it is fetched from the others")
        content = self._decode(data)
        if content is None or digest_of(content) != node.digest:
            raise Rot(f"the state's store: node {node.place} is damaged; restart, and it is fetched from the others")
        return content, len(data)

    def _decode(self, data: bytes) -> Content | None:
        """None if this is no node."""
        if data[:1] == _BUCKET:
            return _split(data)
        if data[:1] != _BRANCH or len(data) < 1 + _BITMAP.size:
            return None
        (bitmap,) = _BITMAP.unpack_from(data, 1)
        start = 1 + _BITMAP.size
        if len(data) != start + bitmap.bit_count() * _CHILD.size:
            return None
        children = [
            Node(digest, count, size_bytes, None, self, place)
            for digest, count, size_bytes, place in _CHILD.iter_unpack(data[start:])
        ]
        return Branch(bitmap, tuple(children))

    # ------------------------------------------------------------------ beginning

    def open(self, kept: Pointer | None, aside: Pointer | None) -> tuple[MerkleMap | None, MerkleMap | None]:
        """Go on from the version that a snapshot points to, and from one that was set aside since, if they are there;
        forget all others. Returns both, None for one that is not there. Raises BrokenStorage if the store fails."""
        facts = self._store.facts()
        written = _number(facts.get(_TOP))
        known = [one for one in (kept, aside) if one is not None and one.top <= written]
        if aside is not None and kept is not None and aside.version <= kept.version:
            known = [one for one in known if one is not aside]
        if kept is not None and kept not in known:
            known = []
        if not known:
            self._store.clear()
            return None, None
        newest = known[-1]
        self._forget_after(newest, facts)
        self._version = newest.version
        states = {one.version: MerkleMap(self._root(one)) for one in known}
        self._last = states[newest.version].root
        return (
            states[kept.version] if kept is not None else None,
            states[aside.version] if aside is not None and aside in known else None,
        )

    def _root(self, pointer: Pointer) -> Node | None:
        if not pointer.place:
            return None
        return Node(pointer.digest, pointer.leaves, pointer.size_bytes, None, self, pointer.place)

    def _forget_after(self, pointer: Pointer, facts: dict[bytes, bytes]) -> None:
        """What later versions wrote, whose pointers a crash took away."""
        later = [name for name in facts if name.startswith(_GONE) and _number(name[len(_GONE) :]) > pointer.version]
        places = list(self._store.places(pointer.top))
        if not later and not places:
            return
        kept = [version for version in _numbers(facts.get(_KEPT, b"")) if version <= pointer.version]
        change = self._store.begin()
        for place in places:
            change.remove(place)
        for name in later:
            change.state(name, None)
        change.state(_TOP, _bytes(pointer.top))
        change.state(_KEPT, b"".join(map(_bytes, kept)))
        change.commit()

    def survey(self, state: MerkleMap) -> tuple[MerkleMap, int]:
        """Read all of it, a node at a time. Returns it without what is damaged, and how many nodes that were; they are
        written anew with the next version."""
        if state.root is None:
            return state, 0
        root, damaged = self._surveyed(state.root)
        if not damaged:
            return state, 0
        if state.root is self._last:
            self._last = root
        return MerkleMap(root), damaged

    def _surveyed(self, node: Node) -> tuple[Node | None, int]:
        try:
            content = node.held if node.held is not None else self._read(node)[0]
        except Rot:
            self._lost.append(node.place)
            return None, 1
        if not isinstance(content, Branch):
            return node, 0
        damaged = 0
        bitmap = 0
        children: list[Node] = []
        for slot, child in zip(slots(content.bitmap), content.children, strict=True):
            left, worse = self._surveyed(child)
            damaged += worse
            if left is not None:
                bitmap |= 1 << slot
                children.append(left)
        if not damaged:
            return node, 0
        self._lost.append(node.place)
        return (inner(bitmap, children) if children else None), damaged

    # ------------------------------------------------------------------ writing

    def write(self, state: MerkleMap, kept: bool = True) -> Iterator[bytes]:
        """Make this version durable: empty parts, each a place to stop for a moment, and at last its pointer. Its nodes
        are in the store from then on and no longer in memory. `kept`: a snapshot; else only set aside. Raises
        BrokenStorage."""
        change = self._store.begin()
        try:
            top = _number(change.fact(_TOP))
            writing = _Writing(self, change, top)
            place = yield from writing.subtree(state.root, self._last)
            version = self._version + 1
            pointer = Pointer(version, writing.top, place, len(state), state.size_bytes, state.digest)
            change.state(_TOP, _bytes(writing.top))
            change.state(_GONE + _bytes(version), b"".join(map(_bytes, [*self._lost, *writing.gone])))
            versions = _numbers(change.fact(_KEPT) or b"")
            if kept:
                versions = [*versions, version][-KEPT_VERSIONS:]
                change.state(_KEPT, b"".join(map(_bytes, versions)))
            if len(versions) == KEPT_VERSIONS:
                self._collect(change, versions[0])
            change.commit()
        except BaseException:
            change.abort()
            raise
        self._version = version
        self._lost = []
        self._last = self._root(pointer)
        for node, place in writing.written:
            node.place, node.source = place, self
            node.held = None  # last: whoever reads it meanwhile in another thread finds one or the other
        yield pointer.encode()

    def _collect(self, change: Transaction, oldest: int) -> None:
        """Remove the nodes that no version from `oldest` on has."""
        for name in sorted(self._store.facts()):
            if name.startswith(_GONE) and _number(name[len(_GONE) :]) <= oldest:
                for place in _numbers(change.fact(name) or b""):
                    change.remove(place)
                change.state(name, None)


class _Writing:
    """One version on its way into the store, compared node by node with the one before."""

    def __init__(self, vault: Vault, change: Transaction, top: Place) -> None:
        self._vault = vault
        self._change = change
        self.top = top
        self.gone: list[Place] = []
        self.written: list[tuple[Node, Place]] = []  # they say so themselves when it is durable, not before

    def subtree(self, new: Node | None, last: Node | None) -> Generator[bytes, None, Place]:
        """Both are at one path. Returns the place of `new`."""
        if new is not None and last is not None and new.digest == last.digest and last.place:
            if new.place != last.place or new.source is not self._vault:
                self.written.append((new, last.place))
            return last.place
        before: Content | None = None
        if last is not None:
            if last.place:  # else it stands for a damaged one
                self.gone.append(last.place)
            before = None if fits(last.count, last.size_bytes) else self._content(last)  # a bucket needs no look
        below = dict(zip(slots(before.bitmap), before.children, strict=True)) if isinstance(before, Branch) else {}
        content = self._content(new) if new is not None else None
        places: list[Place] = []
        if isinstance(content, Branch):
            for slot, child in zip(slots(content.bitmap), content.children, strict=True):
                places.append((yield from self.subtree(child, below.pop(slot, None))))
        for child in below.values():
            yield from self.subtree(None, child)
        if new is None or content is None:
            return 0
        self.top += 1
        place = self.top
        self._change.put(place, encode_node(content, places))
        self.written.append((new, place))
        if len(self.written) % STEP_NODES == 0:
            yield b""
        return place

    def _content(self, node: Node) -> Content:
        if node.held is None and node.source is self._vault:
            return self._vault._read(node)[0]  # beside the cache: this may be another thread than the host's
        return node.content


def encode_node(content: Content, places: list[Place]) -> bytes:
    """`places`: of a branch's children."""
    if not isinstance(content, Branch):
        return _BUCKET + b"".join(content)
    children = [
        _CHILD.pack(one.digest, one.count, one.size_bytes, place)
        for one, place in zip(content.children, places, strict=True)
    ]
    return _BRANCH + _BITMAP.pack(content.bitmap) + b"".join(children)


def digest_of(content: Content) -> Digest:
    if isinstance(content, Branch):
        return inner_digest(content.bitmap, b"".join([child.digest for child in content.children]))
    return bucket_digest(b"".join(content))


def _split(data: bytes) -> Bucket:
    """The records of a bucket as it is stored."""
    records: list[Record] = []
    at = 1
    while at < len(data):
        middle = at + 2 + int.from_bytes(data[at : at + 2], "big")
        end = middle + 4 + int.from_bytes(data[middle : middle + 4], "big")
        records.append(data[at:end])
        at = end
    return tuple(records)


def _bytes(number: int) -> bytes:
    return number.to_bytes(8, "big")


def _number(data: bytes | None) -> int:
    return int.from_bytes(data or b"", "big")


def _numbers(data: bytes) -> list[int]:
    return [_number(data[start : start + 8]) for start in range(0, len(data), 8)]
