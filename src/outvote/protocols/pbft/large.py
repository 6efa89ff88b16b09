"""Large requests, section 5.1: the client sends them to all replicas, and the primary proposes their digests.

So the primary's link carries a large body once and not n times. A BRIEF-PRE-PREPARE has the seal of the PRE-PREPARE
that it stands for, and becomes that as soon as the bodies are at hand: from the client, or from the primary, which
repeats the whole proposal to whoever says in a STATUS that it lacks it. A primary that proposes what nobody has, or
keeps it to itself, is left when the view timer ends: the position counts as accepted for that, and for nothing else.
"""

from __future__ import annotations

from typing import Final

from outvote.core.contract import Message, Request, digest_of
from outvote.protocols.pbft.messages import Batch, BriefPrePrepare, PrePrepare, RequestDigest
from outvote.protocols.pbft.state import State
from outvote.types import Digest, Position, ReplicaId

# By Request.size_bytes. A digest with its place takes 60 bytes; below, little is saved, and a request that goes to the
# primary alone spares the other replicas a signature check when it is answered soon.
LARGE_BYTES_MIN: Final = 4096


def is_large(request: Request) -> bool:
    return request.size_bytes() > LARGE_BYTES_MIN


def proposal(state: State, position: Position, digest: Digest, batch: Batch) -> Message:
    """The primary's proposal, as short as its requests allow."""
    if not any(map(is_large, batch.requests)):
        return PrePrepare(state.view, position, digest, batch)
    requests = tuple(None if is_large(request) else request for request in batch.requests)
    left_out = tuple(
        RequestDigest(request.client, request.number, digest_of(request))
        for request in batch.requests if is_large(request)
    )
    return BriefPrePrepare(state.view, position, digest, batch.time, requests, left_out)


def admits_brief(state: State, _sender: ReplicaId, message: BriefPrePrepare) -> bool:
    """One of another view is not kept: whoever enters that view asks for what it lacks."""
    if message.view != state.view or not state.active or not state.in_window(message.position):
        return False
    if len(message.requests) > state.config.batch_requests_max:
        return False
    if sum(1 for one in message.requests if one is None) != len(message.left_out):
        return False
    slot = state.slots.get(message.position)
    return slot is None or not (slot.seal and slot.digest == message.digest)


def whole(state: State, message: BriefPrePrepare) -> PrePrepare | None:
    """The proposal that it stands for; None while a body is missing."""
    slot = state.slots.get(message.position)
    batch = slot.batches.get(message.digest) if slot is not None else None
    if batch is None:
        left_out = iter(message.left_out)
        requests: list[Request] = []
        for given in message.requests:
            request = given
            if request is None:
                wanted = next(left_out)
                request = state.pool.get((wanted.client, wanted.number))
                if request is None or digest_of(request) != wanted.digest:
                    return None
            requests.append(request)
        batch = Batch(message.time, tuple(requests))
    return PrePrepare(message.view, message.position, message.digest, batch)
