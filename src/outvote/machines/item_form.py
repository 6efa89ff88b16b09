"""How the items of a dict are written as leaves: the key in the name, the number and the value behind it.

    name    the field's prefix, and the key; or 0xC1 and the SHA-256 of a key that is too long for a name
    data    the item's number (6 bytes), a long key and its length (4 bytes), the value

The number says which item came first; the map does not keep that.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final

import msgspec

from outvote.machines.leaves import items_prefix
from outvote.machines.value_types import decode_wide, encode_wide, ordered

INLINE_KEY_BYTES_MAX: Final = 1536  # an encoded key that is longer stands in the value, and its SHA-256 in the name
NUMBER_BYTES: Final = 6  # 2.8e14 new items of one dict
_UNUSED: Final = 0xC1  # begins no msgpack value: here a wide one follows, or in a name the digest of a long key
_WIDE: Final = bytes([_UNUSED])

_encode = msgspec.msgpack.Encoder().encode


class ItemForm:
    """The form of one dict's items."""

    __slots__ = ("_key_type", "_read_key", "_read_value", "_value_type", "has_sets", "prefix")

    def __init__(self, index: int, key: Any, value: Any, has_sets: bool) -> None:
        """`index`: of the field. `has_sets`: whether there may be sets in a value."""
        self.prefix = items_prefix(index)
        self.has_sets = has_sets
        self._key_type = key
        self._value_type = value
        self._read_key = msgspec.msgpack.Decoder(key).decode
        self._read_value = msgspec.msgpack.Decoder(value).decode

    def name(self, key: Any) -> tuple[bytes, bytes]:
        """The name, and what stands before the value if the key is too long for it. Raises what encoding raises."""
        coded = _encode(key) if type(key) is str else written(_normal(key), False)
        if len(coded) <= INLINE_KEY_BYTES_MAX and coded[0] != _UNUSED:
            return self.prefix + coded, b""
        return self.prefix + _WIDE + sha256(coded).digest(), len(coded).to_bytes(4, "big") + coded

    def item(self, number: int, key: Any, value: Any) -> bytes:
        """What stands under the name. Raises what encoding raises."""
        return number.to_bytes(NUMBER_BYTES, "big") + self.name(key)[1] + written(value, self.has_sets)

    def read_item(self, name: bytes, data: bytes) -> tuple[int, Any, Any]:
        """Number, key and value. Raises what decoding raises."""
        number, rest = int.from_bytes(data[:NUMBER_BYTES], "big"), data[NUMBER_BYTES:]
        coded = name[len(self.prefix) :]
        if coded[0] == _UNUSED:
            end = 4 + int.from_bytes(rest[:4], "big")
            coded, rest = rest[4:end], rest[end:]
        key = read_value(coded, self._read_key, self._key_type)
        return number, key, read_value(rest, self._read_value, self._value_type)


def _normal(key: Any) -> Any:
    """The key as its type has it: True finds the item of 1."""
    if type(key) is bool:
        return int(key)
    return tuple(map(_normal, key)) if type(key) is tuple else key


def written(value: Any, has_sets: bool) -> bytes:
    if has_sets:
        value = ordered(value)
    try:
        return _encode(value)
    except OverflowError:
        return _WIDE + encode_wide(value)


def read_value(data: bytes, decode: Callable[[bytes], Any], kind: Any) -> Any:
    return decode_wide(data[1:], kind) if data[:1] == _WIDE else decode(data)
