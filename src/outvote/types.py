"""Identifiers and units that every package shares."""

from __future__ import annotations

from typing import Final, TypeAlias

ReplicaId: TypeAlias = int  # 0 .. n-1
ClientId: TypeAlias = int  # FIRST_CLIENT and up
PartyId: TypeAlias = int  # a ReplicaId or a ClientId: one number names one signing key
View: TypeAlias = int  # counted from 0
Position: TypeAlias = int  # a place in the total order, counted from 1; 0 is "before the first"
Nanos: TypeAlias = int  # nanoseconds
Digest: TypeAlias = bytes  # 32 bytes of SHA-256
Seal: TypeAlias = bytes  # 64 bytes of Ed25519; empty where nothing is sealed
Size: TypeAlias = tuple[str, int, int]  # what is counted, how many there are, how many there may be

FIRST_CLIENT: Final = 1 << 16  # replicas are numbered below, clients from here: no key can play both
DIGEST_BYTES: Final = 32
SEAL_BYTES: Final = 64
NEVER: Final = 1 << 62  # a deadline that does not come
MILLISECOND: Final = 1_000_000
SECOND: Final = 1_000_000_000
