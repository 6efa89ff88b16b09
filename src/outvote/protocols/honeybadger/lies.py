"""What a lying HoneyBadger replica could say instead of the truth. Used by adversaries only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from outvote.broadcast.binary_agreement import Aux, BVal, CoinShare, Conf, Term
from outvote.broadcast.key_resharing import Dealt
from outvote.broadcast.reliable import Echo, Ready, Val
from outvote.broadcast.threshold_encryption import DecryptionShare
from outvote.core.contract import Message
from outvote.core.occasion import Lie, Occasion
from outvote.protocols.honeybadger.messages import (
    Agreeing,
    Batch,
    Broadcasting,
    Decided,
    Decrypting,
    Handing,
    Helping,
    Possessed,
    Transcribed,
)


def variant(message: Message, salt: int) -> Message | None:
    """Another one of the same kind, as honest-looking as possible."""
    if isinstance(message, Possessed):
        return msgspec.structs.replace(message, possession=spoiled(message.possession))
    if not isinstance(message, Broadcasting | Agreeing | Decrypting | Handing):
        return None
    body = message.body
    if isinstance(body, Dealt):
        return msgspec.structs.replace(message, body=Dealt(body.dealings[1:]))
    if isinstance(body, BVal | Aux | Term):
        return msgspec.structs.replace(message, body=msgspec.structs.replace(body, bit=not body.bit))
    if isinstance(body, Conf):
        return msgspec.structs.replace(message, body=Conf(body.number, 1 + (body.bits + salt) % 3))
    if isinstance(body, CoinShare):
        return msgspec.structs.replace(message, body=CoinShare(body.number, spoiled(body.share)))
    if isinstance(body, DecryptionShare):
        return msgspec.structs.replace(message, body=DecryptionShare(spoiled(body.share)))
    if isinstance(body, Ready):
        return msgspec.structs.replace(message, body=Ready(spoiled(body.root)))
    return msgspec.structs.replace(message, body=msgspec.structs.replace(body, shard=spoiled(body.shard)))


def spoiled(part: bytes) -> bytes:
    return bytes([part[0] ^ 1]) + part[1:] if part else b"\0"


def spoiled_shards(message: Message, _occasion: Occasion) -> list[Message] | None:
    """VAL and ECHO with a shard that its branch does not show to belong."""
    if isinstance(message, Broadcasting | Handing) and isinstance(message.body, Val | Echo):
        lie = variant(message, 0)
        return None if lie is None else [lie]
    return None


def both_bits(message: Message, _occasion: Occasion) -> list[Message] | None:
    """BVAL, AUX and TERM of both bits."""
    if isinstance(message, Agreeing | Handing) and isinstance(message.body, BVal | Aux | Term):
        lie = variant(message, 0)
        return [message] if lie is None else [message, lie]
    return None


def turned_bits(message: Message, occasion: Occasion) -> list[Message] | None:
    """The other bit to every second replica."""
    voting = isinstance(message, Agreeing | Handing) and isinstance(message.body, BVal | Aux | Conf | Term)
    if voting and occasion.receiver % 2:
        lie = variant(message, occasion.choice)
        return None if lie is None else [lie]
    return None


def false_shares(message: Message, _occasion: Occasion) -> list[Message] | None:
    """Shares of coins and decryptions, and of keys handed over, that are nobody's."""
    coin = isinstance(message, Agreeing | Handing) and isinstance(message.body, CoinShare)
    if coin or isinstance(message, Decrypting | Possessed):
        lie = variant(message, 0)
        return None if lie is None else [lie]
    if isinstance(message, Helping):
        return [msgspec.structs.replace(message, box=spoiled(message.box))]
    return None


def early_ends(message: Message, _occasion: Occasion) -> list[Message] | None:
    """TERM at once, of the bit that is voted for."""
    if isinstance(message, Agreeing | Handing) and isinstance(message.body, BVal):
        return [msgspec.structs.replace(message, body=Term(message.body.bit)), message]
    return None


def withheld_shards(message: Message, occasion: Occasion) -> list[Message] | None:
    """VAL to some only: the others must make do with ECHOs."""
    if isinstance(message, Broadcasting | Handing) and isinstance(message.body, Val) and occasion.receiver % 3 == 0:
        return []
    return None


def false_outputs(message: Message, _occasion: Occasion) -> list[Message] | None:
    """To a laggard: an epoch, or the handing over of keys, had another output."""
    if isinstance(message, Handing) and isinstance(message.body, Dealt):
        return [msgspec.structs.replace(message, body=Dealt(message.body.dealings[1:]))]
    if isinstance(message, Transcribed):
        return [msgspec.structs.replace(message, dealings=message.dealings[1:])]
    if isinstance(message, Decided):
        batch = Batch(message.batch.time + 1, message.batch.requests[:-1])
        return [msgspec.structs.replace(message, batch=batch)]
    return None


LIES: Final[Mapping[str, Lie]] = {
    "spoiled-shards": spoiled_shards,
    "both-bits": both_bits,
    "turned-bits": turned_bits,
    "false-shares": false_shares,
    "early-ends": early_ends,
    "withheld-shards": withheld_shards,
    "false-outputs": false_outputs,
}
