"""Hands a certified state to a replica that fell behind: only the subtrees in which both differ, each verified.

The digest that replicas certify is the root of a Merkle map. Whoever fetches goes down from there: it names a node by
its path and sends the first bytes of the digests of what it has below it; it gets the digests of the children that are
others, or the leaves themselves where they are small. What it puts together must have the digest that the node above
promised. See fetcher.py for the other side.

Servers hold a few versions of the state, which share what did not change, and forget old ones as they like: a fetcher
goes on with a newer certificate then, and keeps all that is still the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from outvote.core.contract import Hint, Struct
from outvote.machines.merkle_map import (
    PATH_DIGITS,
    Inner,
    Leaf,
    MerkleMap,
    Node,
    leaves_below,
    slots,
)
from outvote.types import SECOND, Digest, Position, ReplicaId, Size

ASKS_MAX: Final = 256  # nodes asked for in one message: 256 x (64 + 66 + 4) bytes = 34 KB at most
ASKS_MIN: Final = 16  # fewer are not spread over several sources
# An answer ends with the node that reaches this. A node adds a leaf of 66 KiB that is alone, 16 KiB of small leaves or
# 32 KiB of a subtree: 330 KiB at most, which take 3 ms at 1 Gbit/s.
ANSWER_BYTES: Final = 256 * 1024
SUBTREE_BYTES: Final = 32 * 1024  # what the fetcher has nothing of comes whole up to this size, leaf by leaf
SUBTREE_LEAVES_MAX: Final = 512  # and up to this number, lest they be empty
INLINE_BYTES: Final = 1024  # a leaf up to this size comes at once, a larger one is asked for: 16 x 1 KiB a node
HINT_BYTES: Final = 4  # of a digest, to say what one has: two different ones look alike once in 4e9, and then the
# digest above does not fit, and the node is asked for in full
HELD_MAX: Final = 4  # versions a server holds: two stable ones and two on the way to it
ASKED_MAX: Final = 8  # messages on their way: 2.6 MiB in flight at most
ASKED_OF_ONE_MAX: Final = 4  # of them, to one source: a slow liar holds up half of the flight at most
STALL_NS: Final = 2 * SECOND  # no answer for so long at most: ask somebody else; 330 KiB in 2 s is 1.3 Mbit/s
RESTS: Final = 4  # a source that stalled is asked again after so many times that, or when all others rest too

_HEXADECIMAL: Final = frozenset("0123456789abcdef")


class Ask(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """One node. `known`: a bitmap (2 bytes) of the children that the fetcher has there, and HINT_BYTES of the digest of
    each; empty: send it in full."""

    path: str
    known: bytes


class FetchNodes(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=100):
    """Please send what differs at these nodes of the state at `position` with this digest."""

    position: Position
    digest: Digest
    number: int  # repeated in the answer
    asks: tuple[Ask, ...]


class Found(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """One node: either `bitmap` of its children, with those that differ from what was known as digests or as leaves;
    or, if `bitmap` is 0, all the leaves below it."""

    path: str
    bitmap: int
    digests: bytes  # a slot (1 byte) and a digest, for each child that comes as one
    leaves: tuple[tuple[bytes, bytes], ...]  # key and value


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
            size_bytes += 80 + len(one.digests) + sum([len(key) + len(value) + 8 for key, value in one.leaves])
            if size_bytes >= ANSWER_BYTES:
                break
        return [Nodes(hint.position, hint.number, tuple(found))] if found else []

    def _stable(self) -> list[Position]:
        return [held.position for held in self._held if held.stable]


def _found(node: Node, ask: Ask) -> Found:
    if not isinstance(node, Inner) or (
        not ask.known and node.size_bytes <= SUBTREE_BYTES and node.count <= SUBTREE_LEAVES_MAX
    ):
        return Found(ask.path, 0, b"", tuple([(leaf.key, leaf.value) for leaf in leaves_below(node)]))
    known: dict[int, bytes] = {}
    for place, slot in enumerate(slots(int.from_bytes(ask.known[:2], "big"))):
        known[slot] = ask.known[2 + place * HINT_BYTES : 2 + (place + 1) * HINT_BYTES]
    digests: list[bytes] = []
    leaves: list[tuple[bytes, bytes]] = []
    for slot, child in zip(slots(node.bitmap), node.children, strict=True):
        if known.get(slot) == child.digest[:HINT_BYTES]:
            continue
        if isinstance(child, Leaf) and child.size_bytes <= INLINE_BYTES:
            leaves.append((child.key, child.value))
        else:
            digests.append(bytes([slot]) + child.digest)
    return Found(ask.path, node.bitmap, b"".join(digests), tuple(leaves))


def _position_of(held: _Held) -> Position:
    return held.position


