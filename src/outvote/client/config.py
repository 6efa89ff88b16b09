"""What one client's conversation with the replicas is set to."""

from __future__ import annotations

import msgspec

from outvote.types import MILLISECOND, SECOND, Nanos


class SessionConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Times in nanoseconds."""

    retry_ns: Nanos = 400 * MILLISECOND  # no answer for so long: ask everybody, then wait twice as long
    retry_max_ns: Nanos = 4 * SECOND
    timeout_ns: Nanos = 10 * SECOND  # from submit to giving up
    waiting_max: int = 10_000  # operations behind a full window: 39 full bundles
    reads: bool = False  # queries in one round trip; then every answer needs a quorum, of all clients
    read_patience_ns: Nanos = 200 * MILLISECOND  # then a read is ordered instead
    whole_ns: Nanos = 50 * MILLISECOND  # a quorum of digests, and nobody has sent the results: ask everybody for them
    first_number: int = 1  # above every number that this client identity ever used
