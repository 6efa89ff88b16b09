"""What clients and replicas say to each other. Tags are part of the wire format."""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

from outvote.core.contract import Claim, Request, Standing, Struct
from outvote.types import ClientId, Digest, Nanos, Position, ReplicaId, Seal, View

OPERATIONS_MAX: Final = 256  # operations in one request
REQUEST_BYTES_MAX: Final = 256 * 1024  # of one request, by Request.size_bytes
OUTSTANDING_MAX: Final = 64  # requests of one client that are numbered and not acknowledged
RESULT_BYTES_MAX: Final = 256 * 1024  # of all results of one request; a larger one becomes a refusal


class Submit(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=1):
    """Client to replica: please order this."""

    request: Request


class Ask(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=2):
    """Client to one replica: how do you stand? Answered by that replica alone, not agreed on."""

    nonce: int


class ReplyStatement(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag="reply"):
    """What a replica's seal on a reply covers; equal on all correct replicas (so: no view in it)."""

    client: ClientId
    number: int
    position: Position
    results: tuple[bytes, ...]  # one outcome an operation, see machines/operations.py


class Reply(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=3):
    """Replica to client. `view` is a hint about the leader, outside the seal; which is empty unless the request asked
    for a receipt."""

    answer: ReplyStatement
    view: View
    seal: Seal

    def claim(self, replica: ReplicaId) -> Claim:
        return Claim(replica, self.answer, self.seal)


class Refusal(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=4):
    """Replica to client: this replica did not take the request, and why. One replica's word only.

    `number` is 0 if the refusal concerns the connection."""

    number: int
    reason: str


class Report(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=5):
    """Replica to client: the answer to Ask."""

    nonce: int
    replica: ReplicaId
    protocol: str
    standing: Standing
    time: Nanos  # agreed time of the last delivery
    history: Digest  # digest of everything delivered up to standing.position, with its results
    checkpoint: Position  # last checkpoint this replica digested
    checkpoint_digest: Digest
    counters: dict[str, int]


ToReplica: TypeAlias = Submit | Ask
ToClient: TypeAlias = Reply | Refusal | Report

encode_client_message = msgspec.msgpack.Encoder().encode
decode_to_replica = msgspec.msgpack.Decoder(ToReplica).decode
decode_to_client = msgspec.msgpack.Decoder(ToClient).decode
