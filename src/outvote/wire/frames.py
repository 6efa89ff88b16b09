"""Frames on a stream: a 4-byte big-endian length, then that many bytes.

The length is checked before anything is kept for it, so four bytes from a stranger never cost us more
than the bytes that he has really sent.
"""

from __future__ import annotations

from typing import Final

from outvote.errors import Lie

PREFIX_BYTES: Final = 4
FRAME_BYTES_MAX: Final = 4 << 20  # a 1 MiB batch four times over: proposals quoted in a new view fit too


def frame(body: bytes) -> bytes:
    """`body` as it goes onto the stream."""
    return len(body).to_bytes(PREFIX_BYTES, "big") + body


class FrameSplitter:
    """Cuts a stream into frames. Holds at most one unfinished frame: `frame_bytes_max` + 4 bytes."""

    __slots__ = ("_frame_bytes_max", "_missing", "_unfinished")

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._frame_bytes_max = frame_bytes_max
        # What came of an unfinished frame, prefix included. One growing array, because a list of the pieces
        # would cost 50 bytes for each byte of a peer that sends them one at a time.
        self._unfinished = bytearray()
        self._missing = 0  # bytes before which looking at `_unfinished` again is pointless

    def feed(self, chunk: bytes) -> list[bytes]:
        """The frames that `chunk` completes. Raises Lie for a frame that is announced as too large; what else
        the chunk holds is lost then, and the stream cannot be read any further."""
        if not self._unfinished:
            size = int.from_bytes(chunk[:PREFIX_BYTES], "big")
            if len(chunk) == PREFIX_BYTES + size and size <= self._frame_bytes_max:
                return [chunk[PREFIX_BYTES:]]  # one whole frame, as most chunks are
        else:
            self._unfinished += chunk
            self._missing -= len(chunk)
            if self._missing > 0:
                return []
            chunk = bytes(self._unfinished)
            self._unfinished = bytearray()
        bodies: list[bytes] = []
        start, available = 0, len(chunk)
        while available - start >= PREFIX_BYTES:
            begin = start + PREFIX_BYTES
            size = int.from_bytes(chunk[start:begin], "big")
            if size > self._frame_bytes_max:
                raise Lie(f"a frame of {size} bytes, where {self._frame_bytes_max} are allowed")
            end = begin + size
            if end > available:
                self._unfinished += chunk[start:]
                self._missing = end - available
                return bodies
            bodies.append(chunk[begin:end])
            start = end
        if start < available:
            self._unfinished += chunk[start:]
            self._missing = PREFIX_BYTES - (available - start)
        return bodies
