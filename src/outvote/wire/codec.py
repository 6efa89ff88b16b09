"""Messages and records as bytes.

The tables of message types are given by whoever knows the protocol, so this package knows none. On a
replica link, a frame's body is the msgpack array [epoch, seal, message]; a message's integer tag tells its
type. Seals and digests cover values, not these bytes (see core/contract.py). All the same there is one encoding
of a message and no other: what is written in a longer or another way than we would is refused. So a flipped bit
never passes for a fancy of the sender, and two replicas never hold different bytes of one message.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, Union

import msgspec

from outvote.core.contract import Message, Record, Struct
from outvote.errors import Lie, Rot
from outvote.types import SEAL_BYTES, Seal

# What the decoder can raise for hostile bytes: malformed or mistyped, nested too deep, not UTF-8.
_MALFORMED = (msgspec.DecodeError, RecursionError, UnicodeDecodeError, OverflowError)

_encode = msgspec.msgpack.Encoder().encode


class Codec:
    """Envelopes of one cluster, epoch and set of message types."""

    __slots__ = ("_decode", "_sealing", "epoch")

    def __init__(self, message_types: Sequence[type[Message]], epoch: int, sealing: bool = True) -> None:
        """`sealing` is False for a protocol that quotes nobody: then no message of it carries a seal, and the channel's
        word about the sender is all. Raises ValueError if two types share a tag, or one has none."""
        self.epoch = epoch
        self._sealing = sealing
        union = _union(message_types)
        decoder = msgspec.msgpack.Decoder(tuple[int, bytes, union])  # type: ignore[valid-type]
        self._decode: Callable[[bytes], tuple[int, bytes, Message]] = decoder.decode

    def seals(self, message: Message) -> bool:
        """Whether this message carries its sender's seal."""
        return self._sealing and message.sealed

    def encode(self, message: Message, seal: Seal) -> bytes:
        """The body of a frame; `seal` is empty for a Hint."""
        return _encode((self.epoch, seal, message))

    def decode(self, body: bytes) -> tuple[Message, Seal]:
        """Raises Lie for anything but one well-formed envelope of this epoch. Seals are verified elsewhere."""
        try:
            epoch, seal, message = envelope = self._decode(body)
        except _MALFORMED as error:
            raise Lie(f"not a message: {_short(error)}") from None
        if _encode(envelope) != body:
            raise Lie(f"a {type(message).__name__} in another form than the one that is valid")
        if epoch != self.epoch:
            raise Lie(f"a message of epoch {epoch} in epoch {self.epoch}")
        if len(seal) != (SEAL_BYTES if self._sealing and message.sealed else 0):
            expected = f"{SEAL_BYTES} bytes" if self.seals(message) else "none"
            raise Lie(f"a {type(message).__name__} with a seal of {len(seal)} bytes, where it has {expected}")
        return message, seal


class RecordCodec:
    """Records of one protocol as they are stored."""

    __slots__ = ("_decode",)

    def __init__(self, record_types: Sequence[type[Record]]) -> None:
        """Raises ValueError if two types share a tag, or one has none."""
        self._decode = msgspec.msgpack.Decoder(_union(record_types)).decode

    def encode(self, record: Record) -> bytes:
        return _encode(record)

    def decode(self, body: bytes) -> Record:
        """Raises Rot: the log's checksum was good, so another version wrote this record."""
        try:
            record: Record = self._decode(body)
        except _MALFORMED as error:
            raise Rot(f"a stored record is not of this protocol and version: {_short(error)}") from None
        return record


_Union: TypeAlias = Any  # a union of struct types, built at run time from a table


def _union(types: Sequence[type[Struct]]) -> _Union:
    tags: dict[object, str] = {}
    for kind in types:
        tag = kind.__struct_config__.tag
        if not isinstance(tag, int):
            raise ValueError(f"{kind.__name__} needs an integer tag")  # noqa: TRY004 - a wrong table
        if tag in tags:
            raise ValueError(f"{kind.__name__} and {tags[tag]} share the tag {tag}")
        tags[tag] = kind.__name__
    if not types:
        raise ValueError("a codec needs at least one type")
    return Union[tuple(types)]  # noqa: UP007 - the members are known at run time only


def _short(error: BaseException) -> str:
    return str(error)[:200]
