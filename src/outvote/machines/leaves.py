"""How the replicated state is laid out in its map: which leaf is called what, and what is longer than a leaf.

A name is a letter and what follows it:

    h                           position, history and agreed time
    c + client (8 bytes)        one client's row of the client table
    n                           names of the attributes of a user's class
    f + field (2 bytes)         an attribute's value, or of a dict, the number that its next new item gets, and how many
                                items it has
    i + field (2 bytes) + key   one item of a dict: its number (6 bytes), then its value
    s                           the whole state, of a class that writes its own snapshots

The leaf's key is the number of the piece (2 bytes) and the name; piece 0 begins with how many there are (2 bytes).
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Final

from outvote.errors import Lie, Mistake
from outvote.machines.merkle_map import VALUE_BYTES_MAX, Change, MerkleMap, change
from outvote.types import ClientId

HEADER: Final = b"h"
NAMES: Final = b"n"
SELF_WRITTEN: Final = b"s"
PIECE_BYTES: Final = VALUE_BYTES_MAX - 2
PIECES_MAX: Final = (1 << 16) - 1  # 4 GiB under one name: more than a whole state may have
_FIRST: Final = b"\0\0"  # begins the key of a first piece
STORED_BYTES_MAX: Final = 64 << 30  # of a class that keeps dicts in a store: at 100 MB/s, read through in 11 minutes
STATE_BYTES_MAX: Final = 2 << 30  # keys and values; what a process holds as objects is several times as much


def client_name(client: ClientId) -> bytes:
    return b"c" + client.to_bytes(8, "big")


def field_name(field: int) -> bytes:
    return b"f" + field.to_bytes(2, "big")


def items_prefix(field: int) -> bytes:
    return b"i" + field.to_bytes(2, "big")


def piece_key(name: bytes, piece: int) -> bytes:
    return piece.to_bytes(2, "big") + name


def name_of(key: bytes) -> bytes:
    """The name whose piece a leaf with this key is."""
    return key[2:]


class Draft:
    """Collects what is to change, for one update of a map. `long` holds the names of more than one piece, and how many
    they have: `long_names` of the map before, and of the one after when this is done."""

    __slots__ = ("_base", "_changes", "long")

    def __init__(self, base: MerkleMap, long: dict[bytes, int]) -> None:
        self._base = base
        self.long = long
        self._changes: dict[bytes, Change] = {}  # by key

    def put(self, name: bytes, data: bytes) -> None:
        """`write`, for who knows that it is and was one piece."""
        key = _FIRST + name
        prefix = len(key).to_bytes(2, "big") + key
        record = b"%b%b\0\1%b" % (prefix, (2 + len(data)).to_bytes(4, "big"), data)
        self._changes[key] = (sha256(key).hexdigest(), prefix, record)

    def write(self, name: bytes, data: bytes) -> None:
        """Raises Mistake if no state may be so large."""
        if len(data) <= PIECE_BYTES and name not in self.long:
            self.put(name, data)
            return
        count = max(1, -(-len(data) // PIECE_BYTES))
        if count > PIECES_MAX:
            raise Mistake(f"one attribute or item has grown to {len(data)} bytes, and a whole state may have "
                          f"{STATE_BYTES_MAX}: delete what the class no longer needs")  # fmt: skip
        self._put(_FIRST + name, count.to_bytes(2, "big") + data[:PIECE_BYTES])
        for piece in range(1, count):
            self._put(piece_key(name, piece), data[piece * PIECE_BYTES : (piece + 1) * PIECE_BYTES])
        self._cut(name, count)
        if count > 1:
            self.long[name] = count

    def remove(self, name: bytes) -> None:
        """Nothing happens if there is no such name."""
        self._put(_FIRST + name, None)
        self._cut(name, 1)

    def _cut(self, name: bytes, count: int) -> None:
        """Of the pieces that are there, so many stay."""
        for piece in range(count, self.long.pop(name, 1)):
            self._put(piece_key(name, piece), None)

    def _put(self, key: bytes, value: bytes | None) -> None:
        self._changes[key] = change(key, value)

    def done(self) -> MerkleMap:
        return self._base.merge(list(self._changes.values()))


def long_names(state: MerkleMap) -> dict[bytes, int]:
    """The names of more than one piece, and how many they have."""
    found: dict[bytes, int] = {}
    for key, _ in state.leaves():
        if key[:2] != _FIRST:
            note_long(found, key)
    return found


def note_long(long: dict[bytes, int], key: bytes) -> None:
    """Among the `long_names` of a state is that of this leaf, which is no first piece."""
    name = name_of(key)
    long[name] = max(long.get(name, 0), int.from_bytes(key[:2], "big") + 1)


def recount(long: dict[bytes, int], state: MerkleMap, changed: Iterable[bytes]) -> None:
    """Make `long` the `long_names` of `state`, of which these leaves have changed since."""
    for name in dict.fromkeys(map(name_of, changed)):
        first = state.get(_FIRST + name)
        count = int.from_bytes(first[:2], "big") if first is not None else 0
        if count > 1:
            long[name] = count
        else:
            long.pop(name, None)


def read(state: MerkleMap, name: bytes) -> bytes | None:
    """All pieces under this name, joined; None if there are none. Raises Lie if one is missing."""
    piece = state.get(piece_key(name, 0))
    if piece is None:
        return None
    count = int.from_bytes(piece[:2], "big")
    data = [piece[2:]]
    for place in range(1, count):
        piece = state.get(piece_key(name, place))
        if piece is None:
            raise Lie("a state in which a piece of a value is missing")
        data.append(piece)
    return b"".join(data) if count > 1 else data[0]
