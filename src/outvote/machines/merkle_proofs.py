"""Proofs that a map of a known digest holds a value under a key, or that it holds none.

A proof is the way from the root down to the key's place: at each inner node the bitmap of its children and the digests
of all but the one that leads on. It ends at the bucket in which the key has to be (its value is there, or it is proven
that there is none), or at an empty slot. With 100,000 keys that is 3 steps, and up to 10 KB.
"""

from __future__ import annotations

from typing import Final

import msgspec

from outvote.core.contract import Struct
from outvote.errors import Lie
from outvote.machines.merkle_branch import Branch
from outvote.machines.merkle_map import (
    BRANCHES,
    BUCKET_LEAVES_MAX,
    EMPTY_DIGEST,
    KEY_BYTES_MAX,
    PATH_DIGITS,
    VALUE_BYTES_MAX,
    MerkleMap,
    bucket_digest,
    child,
    inner_digest,
    leaf_of,
    path_of,
    record_of,
    slots,
)
from outvote.types import DIGEST_BYTES, Digest

# 64 steps of 15 digests, a leaf alone or a bucket, and what msgpack adds: 31 KB + 68 KB + 1 KB.
PROOF_BYTES_MAX: Final = 100_000


class Step(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """One inner node: its bitmap, and its children's digests in order, without that of the child passed through."""

    bitmap: int
    others: bytes


class Proof(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """From the root down. `bucket`: keys and values found at the end, in the map's order; empty: an empty slot or an
    empty map."""

    steps: tuple[Step, ...]
    bucket: tuple[tuple[bytes, bytes], ...]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Proof).decode


def prove(state: MerkleMap, key: bytes) -> Proof:
    """The proof of what `state` says about `key`."""
    path = path_of(key)
    steps: list[Step] = []
    node = state.root
    while node is not None:
        content = node.content
        if not isinstance(content, Branch):
            leaves = [leaf_of(record) for record in content]
            return Proof(tuple(steps), tuple([(key, value) for key, value in leaves]))
        slot = int(path[len(steps)], BRANCHES)
        others = zip(slots(content.bitmap), content.children, strict=True)
        steps.append(Step(content.bitmap, b"".join([other.digest for place, other in others if place != slot])))
        node = child(content, slot)
    return Proof(tuple(steps), ())


def proven(digest: Digest, key: bytes, proof: Proof) -> bytes | None:
    """What the map of this digest holds under `key`: the value, or None if it holds none. Raises Lie if the proof does
    not show either. Pure; costs at most PATH_DIGITS hashes of 512 bytes, and one of a bucket.

    The digests are put together along the key's own path, so another bucket at its end stands where the key's would."""
    if len(proof.steps) > PATH_DIGITS or len(proof.bucket) > BUCKET_LEAVES_MAX:
        raise Lie("a proof that is longer than any path, or ends with more than any bucket")
    path = path_of(key)
    value: bytes | None = None
    for found, content in proof.bucket:
        if len(found) > KEY_BYTES_MAX or len(content) > VALUE_BYTES_MAX:
            raise Lie("a proof whose leaf is too large")
        if found == key:
            value = content
    # The digest of the node at the end of the steps below; None: nothing is there.
    reached = bucket_digest(b"".join([record_of(*leaf) for leaf in proof.bucket])) if proof.bucket else None
    for depth in range(len(proof.steps) - 1, -1, -1):
        reached = _above(proof.steps[depth], int(path[depth], BRANCHES), reached)
    if (reached if reached is not None else EMPTY_DIGEST) != digest:
        raise Lie("a proof that belongs to another state")
    return value


def _above(step: Step, slot: int, below: Digest | None) -> Digest:
    """The digest of a step's node, whose child in `slot` has the digest `below`. Raises Lie."""
    bit = 1 << slot
    if not 0 < step.bitmap < 1 << BRANCHES or bool(step.bitmap & bit) != (below is not None):
        raise Lie("a proof whose bitmap contradicts it")
    passed = 0 if below is None else 1
    if len(step.others) != (step.bitmap.bit_count() - passed) * DIGEST_BYTES:
        raise Lie("a proof with too many or too few digests")
    place = (step.bitmap & (bit - 1)).bit_count() * DIGEST_BYTES
    return inner_digest(step.bitmap, step.others[:place] + (below or b"") + step.others[place:])


def encode_proof(proof: Proof) -> bytes:
    return _encode(proof)


def decode_proof(data: bytes) -> Proof:
    """Raises Lie if these bytes are no proof."""
    if len(data) > PROOF_BYTES_MAX:
        raise Lie(f"a proof of {len(data)} bytes, and none has more than {PROOF_BYTES_MAX}")
    try:
        return _decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Lie(f"a proof that cannot be read: {error}") from error
