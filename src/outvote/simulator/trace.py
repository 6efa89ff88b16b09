"""What happened in a run, line by line, and its digest: equal digests, equal runs.

The digest is taken over everything that was heard, recorded and executed, whether or not lines are kept for people.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from outvote.errors import Lie
from outvote.types import Nanos, ReplicaId
from outvote.wire.codec import Codec, RecordCodec


class Trace:
    """`lines` stays empty unless `keep`; a kept run takes 100 bytes a message."""

    def __init__(self, codec: Codec, records: RecordCodec, keep: bool) -> None:
        self.codec = codec
        self.records = records
        self.keep = keep
        self.lines: list[str] = []
        self._hash = blake2b(digest_size=16)

    def digest(self) -> str:
        return self._hash.hexdigest()

    def line(self, now: Nanos, who: str, what: str) -> None:
        self._hash.update(f"{now} {who} {what}\n".encode())
        if self.keep:
            self._add(now, who, what)

    def heard(self, now: Nanos, me: str, sender: ReplicaId, body: bytes) -> None:
        """A frame reached a replica that was up."""
        self._hash.update(b"%d %b<%d %b" % (now, me.encode(), sender, body))
        if self.keep:
            self._add(now, me, f"<- {sender} {self.describe(body)}")

    def sent(self, now: Nanos, me: str, receiver: ReplicaId, body: bytes) -> None:
        """A frame was handed to the network. Not kept here: every run tells of it again where it is heard."""

    def recorded(self, now: Nanos, me: str, bodies: Sequence[bytes]) -> None:
        """Records were appended to a replica's disk, not synced yet."""
        for body in bodies:
            self._hash.update(f"{now} {me}! ".encode())
            self._hash.update(body)
            if self.keep:
                self._add(now, me, f"records {shorten(self.records.decode(body))}")

    def describe(self, body: bytes) -> str:
        """A frame's message in one line."""
        try:
            message, _ = self.codec.decode(body)
        except Lie as lie:
            return str(lie)
        return shorten(message)

    def _add(self, now: Nanos, who: str, what: str) -> None:
        self.lines.append(f"{now / 1e6:12.3f}ms {who:>8} {what}")


def shorten(value: object) -> str:
    """A message or record for a trace: its kind, its numbers, the first bytes of its digests; of a tuple its length,
    of a statement inside what is said of it."""
    return " ".join([type(value).__name__, *_fields(value)])


def _fields(value: object) -> list[str]:
    fields: list[str] = []
    for name in getattr(value, "__struct_fields__", ()):
        field = getattr(value, name)
        if isinstance(field, bytes):
            if name != "seal" and not name.endswith("_seal"):
                fields.append(f"{name}={field.hex()[:8] or '-'}")
        elif isinstance(field, int):
            fields.append(f"{name}={field}")
        elif isinstance(field, tuple):
            fields.append(f"{name}:{len(field)}")
        elif hasattr(field, "__struct_fields__"):
            fields.append(f"{name}({' '.join(_fields(field))})")
    return fields
