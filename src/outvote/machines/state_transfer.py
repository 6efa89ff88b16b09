"""Hands a certified state to a replica that fell behind: only the subtrees in which both differ, each verified.

The digest that replicas certify is the root of a Merkle map. Whoever fetches goes down from there: it names a node by
its path and says, in two bytes each, what it has below it; it gets the digests of the children that are others, or the
whole subtree where it has nothing and that is small. Where all children that differ are buckets it only hears which
they are, says in two bytes each which leaves it has in them, and gets the others. What it puts together must have the
digest that the node above promised. See fetcher.py for the other side.

Servers hold a few versions of the state, which share what did not change, and forget old ones as they like: a fetcher
goes on with a newer certificate then, and keeps all that is still the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final
from zlib import crc32

import msgspec

from outvote.core.contract import Hint, Struct
from outvote.machines.merkle_branch import Branch
from outvote.machines.merkle_map import (
    BUCKET_LEAVES_MAX,
    PATH_DIGITS,
    Bucket,
    MerkleMap,
    Node,
    Record,
    records_below,
    slots,
)
from outvote.types import SECOND, Digest, Position, ReplicaId, Size

ASKS_MAX: Final = 256  # nodes asked for in one message: 256 x (64 + 34 + 6) bytes = 26 KB, and 256 KB of leaves' hints
ASKS_MIN: Final = 16  # fewer are not spread over several sources
# An answer ends with the node that reaches this. A node adds a leaf of 66 KiB that is alone, 64 KiB of a group or
# 32 KiB of a subtree: 330 KiB at most, which take 3 ms at 1 Gbit/s.
ANSWER_BYTES: Final = 256 * 1024
SUBTREE_BYTES: Final = 32 * 1024  # what the fetcher has nothing of comes whole up to this size, leaf by leaf
SUBTREE_LEAVES_MAX: Final = 512  # and up to this number, lest they be empty
GROUP_BYTES: Final = 64 * 1024  # buckets of one node that differ, up to this size, are brought and verified together
# Of a digest, and of a leaf's checksum, to say what one has: two different ones look alike once in 65,536, and then the
# digest above does not fit, and the node is asked for without hints.
HINT_BYTES: Final = 2
LEAF_HINT_BYTES: Final = 2
NOTHING_KNOWN: Final = b"\0\0"  # digests of all children, please, not their leaves
HELD_MAX: Final = 4  # versions a server holds: two stable ones and two on the way to it
ASKED_MAX: Final = 8  # messages on their way: 2.6 MiB in flight at most
ASKED_OF_ONE_MAX: Final = 4  # of them, to one source: a slow liar holds up half of the flight at most
STALL_NS: Final = 2 * SECOND  # no answer for so long at most: ask somebody else; 330 KiB in 2 s is 1.3 Mbit/s
RESTS: Final = 4  # a source that stalled is asked again after so many times that, or when all others rest too

_HEXADECIMAL: Final = frozenset("0123456789abcdef")


class Ask(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """One node. `known` and `items` empty: whole, or the digests of its children if that is too much.

    `known` alone: a bitmap (2 bytes) of the children that the fetcher has there, and HINT_BYTES of the digest of each.
    `items` alone: the hints of the leaves that it has there, for a node that is a bucket. Both: `known` is a bitmap of
    children that differ, and `items` has the hints of the leaves below each of them. See `hints_of`."""

    path: str
    known: bytes
    items: bytes


class FetchNodes(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=100):
    """Please send what differs at these nodes of the state at `position` with this digest."""

    position: Position
    digest: Digest
    number: int  # repeated in the answer
    asks: tuple[Ask, ...]


WHOLE: Final = 0
DIGESTS: Final = 1
CHANGED: Final = 2
ITEMS: Final = 3


class Found(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """One node.

    WHOLE    `records`: all leaves below it
    DIGESTS  `bitmap` of its children; `digests` of those that differ from what was known
    CHANGED  `bitmap`; `changed` of those that differ, which are buckets: ask once more with the leaves' hints
    ITEMS    `bitmap`, 0 for a bucket; `records` that are not among the hints, and `gone`: of each list of hints, how
             many of its leaves are not there (1 byte), and which (1 byte each)
    """

    path: str
    kind: int
    bitmap: int
    digests: bytes  # a slot (1 byte) and a digest each
    changed: int
    records: tuple[Record, ...]
    gone: bytes


class Nodes(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=101):
    """The answer: one node or more of those asked for, in that order. The others have to be asked for again."""

    position: Position
    number: int
    found: tuple[Found, ...]


TRANSFER_MESSAGES: Final[tuple[type[Hint], ...]] = (FetchNodes, Nodes)


def known_of(children: dict[int, Node]) -> bytes:
    """What `Ask.known` says about these, by slot."""
    if not children:
        return b""
    bitmap = 0
    digests = b""
    for slot in sorted(children):
        bitmap |= 1 << slot
        digests += children[slot].digest[:HINT_BYTES]
    return bitmap.to_bytes(2, "big") + digests


def hint_of(record: Record) -> bytes:
    """Two different records of a bucket may have the same: a digest tells in the end."""
    return (crc32(record) & 0xFFFF).to_bytes(2, "big")


def hints_of(records: Sequence[Record]) -> bytes:
    """How many (1 byte), and LEAF_HINT_BYTES of each."""
    return bytes([len(records)]) + b"".join(map(hint_of, records))


def split_hints(items: bytes) -> list[list[bytes]] | None:
    """The lists of hints that were put together, none longer than a bucket; None if that cannot be."""
    lists: list[list[bytes]] = []
    at = 0
    while at < len(items):
        end = at + 1 + items[at] * LEAF_HINT_BYTES
        if items[at] > BUCKET_LEAVES_MAX or end > len(items):
            return None
        lists.append([items[start : start + LEAF_HINT_BYTES] for start in range(at + 1, end, LEAF_HINT_BYTES)])
        at = end
    return lists


class _Held(msgspec.Struct):
    position: Position
    state: MerkleMap
    stable: bool


class Server:
    """Holds versions of the state and answers for them."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: list[_Held] = []  # by position

    def hold(self, position: Position, state: MerkleMap) -> None:
        """Serve this version from now on, in the place of any other of this position. Of more than HELD_MAX, the oldest
        is forgotten."""
        if self.state(position) == state:
            return
        self._held = [held for held in self._held if held.position != position]
        self._held.append(_Held(position, state, False))
        self._held.sort(key=_position_of)
        while len(self._held) > HELD_MAX:
            # Of two stable ones the older can go: whoever is fetching it goes on with the newer.
            del self._held[0 if len(self._stable()) != 1 or not self._held[0].stable else 1]

    def settle(self, position: Position) -> None:
        """The version of this position is stable: keep it and the stable one before it, forget all older ones."""
        for held in self._held:
            if held.position == position:
                held.stable = True
        stable = self._stable()
        if stable:
            oldest = stable[-2:][0]
            self._held = [
                held for held in self._held if held.position >= oldest and (held.stable or held.position > position)
            ]

    def state(self, position: Position) -> MerkleMap | None:
        """The version held for this position."""
        for held in self._held:
            if held.position == position:
                return held.state
        return None

    def sizes(self) -> Iterator[Size]:
        """What is held, and its limit."""
        yield "snapshots served", len(self._held), HELD_MAX

    def answer(self, sender: ReplicaId, hint: Hint) -> list[Hint]:
        """What to send back to whoever asked: one hint, or nothing if the version is not held."""
        if not isinstance(hint, FetchNodes):
            return []
        state = self.state(hint.position)
        if state is None or state.digest != hint.digest:
            return []
        found: list[Found] = []
        size_bytes = 0
        for ask in hint.asks[:ASKS_MAX]:
            if len(ask.path) > PATH_DIGITS or not _HEXADECIMAL.issuperset(ask.path):
                continue
            node = state.node(ask.path)
            if node is None:
                continue
            one = _found(node, ask)
            found.append(one)
            size_bytes += 80 + len(one.digests) + sum(map(len, one.records)) + 4 * len(one.records)
            if size_bytes >= ANSWER_BYTES:
                break
        return [Nodes(hint.position, hint.number, tuple(found))] if found else []

    def _stable(self) -> list[Position]:
        return [held.position for held in self._held if held.stable]


def _found(node: Node, ask: Ask) -> Found:
    content = node.content
    if ask.items:
        found = _items(content, ask)
        if found is not None:
            return found
    if isinstance(content, tuple):
        return Found(ask.path, WHOLE, 0, b"", 0, tuple(content), b"")
    if not ask.known and node.size_bytes <= SUBTREE_BYTES and node.count <= SUBTREE_LEAVES_MAX:
        return Found(ask.path, WHOLE, 0, b"", 0, tuple(records_below(node)), b"")
    known: dict[int, bytes] = {}
    if not ask.items:
        for place, slot in enumerate(slots(int.from_bytes(ask.known[:2], "big"))):
            known[slot] = ask.known[2 + place * HINT_BYTES : 2 + (place + 1) * HINT_BYTES]
    differing = [
        (slot, child)
        for slot, child in zip(slots(content.bitmap), content.children, strict=True)
        if known.get(slot) != child.digest[:HINT_BYTES]
    ]
    if known and _makes_group([child for _, child in differing]):
        return Found(ask.path, CHANGED, content.bitmap, b"", sum([1 << slot for slot, _ in differing]), (), b"")
    digests = b"".join([bytes([slot]) + child.digest for slot, child in differing])
    return Found(ask.path, DIGESTS, content.bitmap, digests, 0, (), b"")


def _makes_group(children: list[Node]) -> bool:
    """Whether these are buckets that go into one answer."""
    if sum([child.size_bytes for child in children]) > GROUP_BYTES:
        return False
    return all(isinstance(child.content, tuple) for child in children)


def _items(content: Branch | Bucket, ask: Ask) -> Found | None:
    """What is not among the leaves that the fetcher has; None if it asked about something else than this."""
    hints = split_hints(ask.items)
    if hints is None:
        return None
    buckets: list[Bucket | None]
    if isinstance(content, tuple):
        buckets, bitmap = [content], 0
        asked = 1
    else:
        asked = int.from_bytes(ask.known[:2], "big").bit_count()
        by_slot = dict(zip(slots(content.bitmap), content.children, strict=True))
        children = [by_slot.get(slot) for slot in slots(int.from_bytes(ask.known[:2], "big"))]
        if not _makes_group([child for child in children if child is not None]):
            return None
        buckets, bitmap = [None if child is None else child.content for child in children], content.bitmap
    if len(hints) != asked or bool(ask.known) != isinstance(content, Branch):
        return None
    records: list[Record] = []
    gone = b""
    for had, bucket in zip(hints, buckets, strict=True):
        here = [] if bucket is None else bucket
        present = [hint_of(record) for record in here]
        records += [record for record, hint in zip(here, present, strict=True) if hint not in had]
        lost = [place for place, hint in enumerate(had) if hint not in present]
        gone += bytes([len(lost), *lost])
    return Found(ask.path, ITEMS, bitmap, b"", 0, tuple(records), gone)


def _position_of(held: _Held) -> Position:
    return held.position


