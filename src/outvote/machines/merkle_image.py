"""A map as bytes on a disk: pages of leaves, each with a checksum, so that damage costs the leaves that it hits.

    page   "OVPG", bytes of the leaves (4), CRC-32 of them (4), leaves
    leaf   bytes of the key (2), key, bytes of the value (4), value

Numbers are big-endian. Leaves come bucket by bucket, those by their paths. `read_image` takes an image that is whole;
`salvage` takes what is left of one, or of the beginnings of several: whoever uses those leaves compares them with a
certified digest.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Final
from zlib import crc32

from outvote.errors import Lie
from outvote.machines.merkle_map import EMPTY, KEY_BYTES_MAX, VALUE_BYTES_MAX, MerkleMap, Record

PAGE_BYTES: Final = 4096  # a page ends with the leaf that reaches this: about 30 leaves of 128 bytes

_MAGIC: Final = b"OVPG"
_PAGE: Final = struct.Struct(">4sII")


def pages(records: Iterable[Record]) -> Iterator[bytes]:
    """The image of these leaves, a page at a time."""
    parts: list[bytes] = []
    size_bytes = 0
    for record in records:
        parts.append(record)
        size_bytes += len(record)
        if size_bytes >= PAGE_BYTES:
            yield _page(b"".join(parts))
            parts = []
            size_bytes = 0
    if parts:
        yield _page(b"".join(parts))


def _page(body: bytes) -> bytes:
    return _PAGE.pack(_MAGIC, len(body), crc32(body)) + body


def write_image(state: MerkleMap) -> bytes:
    """The whole map."""
    return b"".join(pages(state.records()))


def read_image(data: bytes) -> MerkleMap:
    """What `write_image` wrote. Raises Lie if a byte of it is not as it was."""
    content: dict[bytes, bytes | None] = {}
    offset = 0
    while offset < len(data):
        if len(data) - offset < _PAGE.size:
            raise Lie("a state that ends within a page")
        magic, length, checksum = _PAGE.unpack_from(data, offset)
        offset += _PAGE.size
        body = data[offset : offset + length]
        offset += length
        if magic != _MAGIC or len(body) != length or crc32(body) != checksum:
            raise Lie("a state with a page that does not match its checksum")
        content.update(_leaves(body))
    return EMPTY.update(content)


def salvage(data: bytes) -> MerkleMap:
    """All leaves that can still be told apart, damaged ones among them; never fails."""
    content: dict[bytes, bytes | None] = {}
    offset = data.find(_MAGIC)
    while 0 <= offset <= len(data) - _PAGE.size:
        _, length, checksum = _PAGE.unpack_from(data, offset)
        start = offset + _PAGE.size
        body = data[start : start + length]
        if crc32(body) != checksum:
            # Its length may be what is wrong: then it ends where the next page begins.
            following = data.find(_MAGIC, start)
            body = data[start : following if following >= 0 else len(data)]
        content.update(_leaves(body))
        offset = data.find(_MAGIC, start + len(body))
    return EMPTY.update(content)


def _leaves(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Up to the first that is longer than a leaf can be or than what is left."""
    offset = 0
    while offset < len(body):
        middle = offset + 2 + int.from_bytes(body[offset : offset + 2], "big")
        end = middle + 4 + int.from_bytes(body[middle : middle + 4], "big")
        if middle - offset - 2 > KEY_BYTES_MAX or end - middle - 4 > VALUE_BYTES_MAX or end > len(body):
            return
        yield body[offset + 2 : middle], body[middle + 4 : end]
        offset = end
