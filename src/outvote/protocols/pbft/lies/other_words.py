"""What a lying PBFT replica could say instead of the truth. Used by adversaries only; no honest code imports it."""

from __future__ import annotations

from hashlib import sha256

import msgspec

from outvote.core.checkpoints import Checkpoint
from outvote.core.contract import Message, digest_of
from outvote.protocols.pbft.messages import (
    NULL_DIGEST,
    Batch,
    Commit,
    Decided,
    FetchedBatch,
    NewView,
    Prepare,
    PrePrepare,
    Status,
    ViewChange,
)


def variant(message: Message, choice: int) -> Message | None:
    """Another well-formed statement in the same place; None for kinds that are not worth lying about.

    Different `choice`s, counted from 1, give different statements.
    """
    if isinstance(message, PrePrepare):
        batch = message.batch
        if not batch.requests:
            return None
        # Another time makes another digest; all but the first request makes another effect as well.
        other = Batch(batch.time + choice, batch.requests[1:] if len(batch.requests) > 1 else batch.requests)
        return PrePrepare(message.view, message.position, digest_of(other), other)
    if isinstance(message, Prepare | Commit | Checkpoint):
        return msgspec.structs.replace(message, digest=sha256(message.digest + choice.to_bytes(4, "big")).digest())
    if isinstance(message, ViewChange):
        return msgspec.structs.replace(message, prepared=())  # as if nothing had ever been prepared here
    if isinstance(message, NewView):
        # Nothing was prepared, says the lie: then every position is free for another proposal. Or where nothing
        # was, something is claimed.
        return msgspec.structs.replace(message, proposals=() if message.proposals else ((1, NULL_DIGEST),))
    if isinstance(message, Decided | FetchedBatch):
        batch = Batch(message.batch.time + choice, message.batch.requests)
        return msgspec.structs.replace(message, batch=batch)
    if isinstance(message, Status):
        return msgspec.structs.replace(message, delivered=0, phases=b"")  # please send me everything again
    return None


def agreement(message: Message) -> tuple[Message, ...]:
    """Every vote for what this message names: as if it were prepared and committed, whatever else was."""
    if isinstance(message, PrePrepare | Prepare | Commit):
        place = (message.view, message.position, message.digest)
        return Prepare(*place), Commit(*place)
    return ()
