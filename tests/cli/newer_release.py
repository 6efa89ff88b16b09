"""A release of outvote that does not exist yet: besides outvote/1 it speaks outvote/2, where every write carries a
checksum that outvote/1 knows nothing of.

    python newer_release.py FORMAT[,FORMAT...] run DIRECTORY --replica N

runs `outvote run` as that release would, and says on standard error which format each link speaks.
"""

from __future__ import annotations

import sys
from zlib import crc32

from outvote.cli import main as command_line
from outvote.errors import Lie
from outvote.transport import tls
from outvote.transport.keyed import KeyedChannel, KeyedSide
from outvote.types import PartyId

NEWER = "outvote/2"
HEADER_BYTES = 8  # length, checksum


class NewerChannel(KeyedChannel):
    """In NEWER, what one side writes at once has a length and a checksum before it; in outvote/1 it has not."""

    def __init__(self, side: KeyedSide) -> None:
        super().__init__(side)
        self.unfinished = b""

    def encrypt(self, plaintext: bytes) -> bytes:
        if self.format == NEWER:
            plaintext = len(plaintext).to_bytes(4, "big") + crc32(plaintext).to_bytes(4, "big") + plaintext
        return super().encrypt(plaintext)

    def receive(self, data: bytes) -> bytes:
        plaintext = super().receive(data)
        if self.format != NEWER:
            return plaintext
        self.unfinished += plaintext
        whole = b""
        while len(self.unfinished) >= HEADER_BYTES:
            end = HEADER_BYTES + int.from_bytes(self.unfinished[:4], "big")
            if len(self.unfinished) < end:
                break
            body = self.unfinished[HEADER_BYTES:end]
            if crc32(body).to_bytes(4, "big") != self.unfinished[4:HEADER_BYTES]:
                raise Lie("a write whose checksum is not that of outvote/2")
            self.unfinished = self.unfinished[end:]
            whole += body
        return whole

    def identity(self) -> PartyId:
        party = super().identity()
        how = "accepted" if self._peer is None else "dialed"
        print(f"{how} {party}: {self.format}", file=sys.stderr, flush=True)
        return party


def opened(side: KeyedSide) -> KeyedChannel:
    return NewerChannel(side)


def main() -> None:
    setattr(tls, "WIRE_FORMATS", tuple(sys.argv.pop(1).split(",")))  # noqa: B010 - it is final for this release
    setattr(KeyedSide, "open", opened)  # noqa: B010 - and so is this
    command_line.main()


if __name__ == "__main__":
    main()
