"""What clients and replicas say to each other. Tags are part of the wire format."""

from __future__ import annotations

from hashlib import sha256
from typing import Final, TypeAlias

import msgspec

from outvote.core.contract import Claim, Request, Standing, Struct
from outvote.types import ClientId, Digest, Nanos, Position, ReplicaId, Seal, View

OPERATIONS_MAX: Final = 256  # operations in one request
REQUEST_BYTES_MAX: Final = 256 * 1024  # of one request, by Request.size_bytes
OUTSTANDING_MAX: Final = 64  # requests of one client that are numbered and not acknowledged
RESULT_BYTES_MAX: Final = 256 * 1024  # of all results of one request; a larger one becomes a refusal
# Of all results of one request: above it one replica sends them whole, the others their digest. 3 of 4 replies of 4 KiB
# then take 100 bytes; below, a digest and its computation save too little.
WHOLE_BYTES_MAX: Final = 1024


class Submit(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=1):
    """Client to replica: please order this."""

    request: Request


class Ask(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=2):
    """Client to one replica: how do you stand? Answered by that replica alone, not agreed on."""

    nonce: int


class Read(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=6):
    """Client to all replicas: execute these queries on your committed state, beside the order, and say what comes out.

    Not sealed: it changes nothing, and the channel says who asks. `number` counts the client's reads. `whole` is the
    replica that shall send large results as they are, -1 for all of them; the others send a digest.
    """

    number: int
    operations: tuple[bytes, ...]
    whole: ReplicaId
    stale_ns: Nanos = 0  # how old a state will do: what its replica knows without asking others; 0: as of now
    proof: bool = False  # whether one replica's answer, where that is enough, shall be sealed


class OrderStatement(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag="order"):
    """What the seal on an order covers."""

    what: str
    argument: int
    view: View
    number: int


class Order(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=9):
    """Operator to one replica: do this to the cluster; `Core.operate` says what there is.

    Sealed with a replica's key, not a client's: clients are strangers, and where operators have a say one replica that
    lies could do worse anyway. It holds in one view, and each replica takes numbers in ascending order only, so a copy
    that comes later is worth nothing."""

    statement: OrderStatement
    signer: ReplicaId
    seal: Seal

    def claim(self) -> Claim:
        return Claim(self.signer, self.statement, self.seal)


class ReplyStatement(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag="reply"):
    """What a replica's seal on a reply covers; equal on all correct replicas (so: no view in it)."""

    client: ClientId
    number: int
    position: Position
    results: tuple[bytes, ...]  # one outcome an operation, see machines/operations.py


class Reply(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=3):
    """Replica to client. `view` is a hint about the leader, outside the seal; which is empty unless the request asked
    for a receipt.

    With a `digest` (of `digest_of_results`) the answer's results are left out. `tentative`: executed when prepared, and
    undone if a view change decides otherwise, so it counts only as one of a quorum. Neither is ever sealed.
    """

    answer: ReplyStatement
    view: View
    seal: Seal
    tentative: bool = False
    digest: Digest = b""

    def claim(self, replica: ReplicaId) -> Claim:
        return Claim(replica, self.answer, self.seal)


class Refusal(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=4):
    """Replica to client: this replica did not take the request, and why. One replica's word only.

    `number` is 0 if the refusal concerns the connection."""

    number: int
    reason: str


class ReadReply(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=7):
    """Replica to client: what the queries of read `number` gave on the state after `position`; whole, or its digest."""

    number: int
    position: Position
    results: tuple[bytes, ...]
    digest: Digest = b""
    age_ns: Nanos = 0  # at most so long ago everything that was answered by then is in it; 0: as of when it was asked
    seal: Seal = b""  # of `statement`, if a proof was asked for

    def statement(self, client: ClientId) -> ReplyStatement:
        """Below 0 are the numbers of reads."""
        return ReplyStatement(client, -self.number, self.position, self.results)


class Unread(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=8):
    """Replica to client: it cannot be read here and now. Have it ordered."""

    number: int
    reason: str


class Ordered(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=10):
    """Replica to operator: the order of this number is begun, or why not."""

    number: int
    refusal: str


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
    surroundings: dict[str, str] = msgspec.field(default_factory=dict)  # see observe/surroundings.py


ToReplica: TypeAlias = Submit | Ask | Read | Order
ToClient: TypeAlias = Reply | Refusal | Report | ReadReply | Unread | Ordered

encode_client_message = msgspec.msgpack.Encoder().encode
decode_to_replica = msgspec.msgpack.Decoder(ToReplica).decode
decode_to_client = msgspec.msgpack.Decoder(ToClient).decode


def digest_of_results(results: tuple[bytes, ...]) -> Digest:
    """What a replica that does not send large results says instead."""
    return sha256(encode_client_message(results)).digest()


def sent_whole(results: tuple[bytes, ...]) -> bool:
    """Whether everybody sends them, because they are small."""
    return sum(map(len, results)) <= WHOLE_BYTES_MAX
