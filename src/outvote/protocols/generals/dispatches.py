"""What generals say and write down when they agree on one batch of requests after the other (service.py).

Tags are part of the wire format: 3 and 4 are promises, 1 and 2 of records are no message's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from outvote.core.contract import Claim, Message, Record, Request, Struct, digest_of
from outvote.protocols.generals.general import Path
from outvote.protocols.generals.oral_messages import OralMessage
from outvote.protocols.generals.orders import Order
from outvote.protocols.generals.signed_messages import Signature, SignedOrder
from outvote.types import Nanos, Position, ReplicaId, Seal


class Batch(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """What one battle is about."""

    requests: tuple[Request, ...]


def order_of(requests: tuple[Request, ...]) -> Order:
    """The order to execute these: their digest in hexadecimal."""
    return digest_of(Batch(requests)).hex()


class OralDispatch(Message, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=3):
    """General to general: in this battle, this order came to me along this path; here is what it orders."""

    sealed = False

    battle: int
    height: Position  # how many batches the speaker has executed before this battle
    path: Path
    order: Order
    requests: tuple[Request, ...]

    def claims(self) -> Sequence[Claim]:
        return [request.claim() for request in self.requests]

    def inner(self) -> OralMessage:
        """What the component hears."""
        return OralMessage(self.path, self.order)


class SignedDispatch(Message, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=4):
    """General to those who have not signed yet: in this battle, an order with all signatures, and what it orders."""

    battle: int
    height: Position  # as above; the channel's word for it is enough, since f + 1 have to say it
    path: Path
    order: Order
    seals: tuple[Seal, ...]
    requests: tuple[Request, ...]

    def statement(self) -> Signature:
        return self.inner().statement()

    def claims(self) -> Sequence[Claim]:
        return [*self.inner().claims(), *(request.claim() for request in self.requests)]

    def inner(self) -> SignedOrder:
        """What the component hears."""
        return SignedOrder(self.battle, self.order, self.path, self.seals)


Dispatch: TypeAlias = OralDispatch | SignedDispatch


class Commanded(Record, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=1):
    """What I ordered, before ORAL-DISPATCH or SIGNED-DISPATCH: after a crash I do not order anything else there."""

    battle: int
    order: Order


class Decided(Record, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=2):
    """A battle has decided on this batch: to be executed again after a crash."""

    position: Position
    battle: int
    time: Nanos
    requests: tuple[Request, ...]


MESSAGES_ORAL: Final[tuple[type[Message], ...]] = (OralDispatch,)
MESSAGES_SIGNED: Final[tuple[type[Message], ...]] = (SignedDispatch,)
RECORDS: Final[tuple[type[Record], ...]] = (Commanded, Decided)


def statement_of(record: Record, me: ReplicaId) -> Signature | None:
    """What `me` may sign once this is durable."""
    return Signature(record.battle, record.order, (me,)) if isinstance(record, Commanded) else None
