"""The log's format as pure functions over bytes, and the one rule that tells a torn tail from rot.

A log is a list of segments: a header, then frames. Frames are numbered by one *sequence* that runs on through
segments and generations, from 1. The decision taken here must never drop a frame that was durable.

The rule. Before a sync returns, a crash may leave any subset of the sectors written since the last sync, in
any order: a hole may be followed by good frames, and a later file may exist while an earlier one does not.
So "good frames follow" proves nothing about a hole. What proves something is a *testimony*, written only
after a sync has returned, and therefore true wherever it is found: "everything up to sequence D is
durable". Every frame and every segment header quotes the D that was known when it was written; so do the
mark file (mark.py, renewed after each sync, in another place than the log) and the snapshots. Hence: if the
first frame that cannot be read has sequence q, and any testimony that can be read says D >= q, a durable
frame is lost: **rot**, and nothing may be cut off. If none does, that frame and all behind it were never
promised to anybody: a **torn tail**, and it is cut off. A log that ends cleanly before D is rot as well.
Zeros from somewhere to a segment's end are a clean end: room that was reserved and never written to.

What remains: one power failure that loses the mark (which is not synced itself, or every sync would cost two)
together with damage inside the very last synced batch looks like a torn tail. No format can tell these apart.

Mending. Who can have lost records made up for by others (`mends` of the contract) asks for what is still good: where
rot is certain, the scan goes on at the next good frame of that segment, or at the next segment, and each record that
is missing in between stands as LOST_RECORD in its place. How many they are the sequence tells. Damage that nothing
readable follows, and that of a header, stays rot.

Testimonies behind the damage are searched at every byte. Bodies hold what strangers wrote, so checksums
begin from a secret of the directory that never leaves it: a frame forged inside a body verifies once in
2**32 attempts, and then only makes a replica stop that could have started. A candidate costs 24 bytes of
checksum, never a body's.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple
from zlib import crc32

FORMAT_VERSION: Final = 1
FRAMES_PASSED_MAX: Final = 1 << 20  # lost in one place; a segment of the smallest frames holds 2 million
RECORD_BYTES_MAX: Final = 16 << 20  # a batch is 1 MiB and a certificate a few KiB: 16 times the largest in use
SECRET_BYTES: Final = 16
NO_DIGEST: Final = bytes(32)
LOST_RECORD: Final = b""  # no record is empty

_MAGIC: Final = b"OVLOGSEG"
_HEADER: Final = struct.Struct("<8sIIQIQQQ32s32s16s")
_CHECK: Final = struct.Struct("<I")
HEADER_BYTES: Final = _HEADER.size + _CHECK.size

_TAG: Final = b"\xf1rec"
_FRAME: Final = struct.Struct("<4sIQQ")  # tag, length of the body, sequence, testimony
_CHECKS: Final = struct.Struct("<II")  # of the frame's head, of its body
_FRAME_HEAD_BYTES: Final = _FRAME.size
FRAME_BYTES: Final = _FRAME.size + _CHECKS.size  # what a record costs on top of its body
_CANDIDATE: Final = re.compile(re.escape(_TAG))


class SegmentHeader(NamedTuple):
    """The first bytes of a segment file."""

    version: int
    replica: int
    generation: int
    part: int  # within the generation, from 0
    first: int  # sequence of the first frame
    durable: int  # testimony: every sequence up to here was durable when this was written
    position: int  # the stable position where the generation begins
    cluster: bytes  # 32 bytes
    digest: bytes  # 32 bytes, zero in generation 0
    secret: bytes  # 16 bytes, the directory's own


class Segment(NamedTuple):
    """A segment as found: its place according to its file's name, and its bytes."""

    generation: int
    part: int
    data: bytes


class Damage(NamedTuple):
    """The first place that cannot be read."""

    segment: int  # place in the list that was scanned
    offset: int  # byte within that segment
    sequence: int  # of the frame that should begin there
    durable: int  # the best testimony
    reason: str


class ScanResult(NamedTuple):
    """`records` are good in every case; at most one of `torn` and `rot` is there."""

    headers: list[SegmentHeader]  # of the segments up to the damage
    records: list[bytes]  # in the order they were written
    sequence: int  # of the last good frame
    torn: Damage | None  # cut here: neither this nor anything behind was ever durable
    rot: Damage | None  # a durable frame is lost here
    ends: Sequence[int] = ()  # of each of these segments: where its frames end, and zeros may follow
    passed: Sequence[Damage] = ()  # durable frames are lost here as well, and good ones follow: see Mending


def encode_header(header: SegmentHeader) -> bytes:
    """HEADER_BYTES bytes."""
    body = _HEADER.pack(
        _MAGIC, header.version, header.replica, header.generation, header.part, header.first, header.durable,
        header.position, header.cluster, header.digest, header.secret,
    )
    return body + _CHECK.pack(crc32(body))


def decode_header(data: bytes) -> SegmentHeader | None:
    """None if these bytes do not begin with a whole, undamaged header."""
    if len(data) < HEADER_BYTES:
        return None
    body = data[: _HEADER.size]
    (check,) = _CHECK.unpack_from(data, _HEADER.size)
    if check != crc32(body):
        return None
    fields = _HEADER.unpack(body)
    if fields[0] != _MAGIC:
        return None
    _, version, replica, generation, part, first, durable, position, cluster, digest, secret = fields
    return SegmentHeader(
        version, replica, generation, part, first, durable, position, cluster, digest, secret
    )


def salt_of(secret: bytes, generation: int, part: int) -> int:
    """Where checksums begin: a frame of another directory, generation or segment does not verify in this
    one."""
    return crc32(struct.pack("<QI", generation, part), crc32(secret))


def encode_frames(records: Sequence[bytes], sequence: int, durable: int, salt: int) -> bytes:
    """`records` as frames numbered from `sequence`, each testifying that everything up to `durable` is
    durable."""
    parts: list[bytes] = []
    for body in records:
        head = _FRAME.pack(_TAG, len(body), sequence, durable)
        check = crc32(head, salt)
        parts.append(head)
        parts.append(_CHECKS.pack(check, crc32(body, check)))
        parts.append(body)
        sequence += 1
    return b"".join(parts)


def scan(
    segments: Sequence[Segment], secret: bytes | None, proven: int = 0, mending: bool = False
) -> ScanResult:
    """Read a log back. `segments` are in order of generation and part, beginning with a generation's first.

    `secret` is None if only the segments' own headers know it. `proven` is the best testimony from elsewhere.
    """
    return _Scan(segments, secret, proven, mending).run()


class _Scan:
    """One pass over a log, and the verdict on the first thing that cannot be read."""

    __slots__ = ("ends", "headers", "mending", "passed", "proven", "records", "secret", "segments", "sequence")

    def __init__(self, segments: Sequence[Segment], secret: bytes | None, proven: int, mending: bool) -> None:
        self.segments = segments
        self.mending = mending
        self.passed: list[Damage] = []
        self.secret = secret
        self.proven = proven
        self.headers: list[SegmentHeader] = []
        self.ends: list[int] = []
        self.records: list[bytes] = []
        self.sequence = 0  # of the last good frame

    def run(self) -> ScanResult:
        for place, segment in enumerate(self.segments):
            header = decode_header(segment.data)
            reason = self._misplaced(segment, header)
            if header is None or reason:
                return self._judge(place, 0, reason)
            self.secret = header.secret
            self.headers.append(header)
            self.sequence = header.first - 1
            self.proven = max(self.proven, header.durable)
            offset, reason = self._walk(segment, HEADER_BYTES)
            while reason and not self._is_reserve(place, offset):
                behind = self._pass(place, offset, reason)
                if behind is None:
                    self.ends.append(offset)
                    return self._judge(place, offset, reason)
                offset, reason = self._walk(segment, behind)
            self.ends.append(offset)
        if self.proven > self.sequence:
            end = len(self.segments[-1].data) if self.segments else 0
            place = max(0, len(self.segments) - 1)
            return self._rot(place, end, "the log ends before records that were durable")
        return ScanResult(self.headers, self.records, self.sequence, None, None, self.ends, self.passed)

    def _is_reserve(self, place: int, offset: int) -> bool:
        """Whether the rest of the segment is room that nothing was written to: zeros, and no record is missing between
        here and the next segment. `run` looks whether one that was durable is missing at the log's end."""
        data = self.segments[place].data
        if data.count(0, offset) != len(data) - offset:
            return False
        if place + 1 == len(self.segments):
            return True
        header = decode_header(self.segments[place + 1].data)
        return header is not None and header.first == self.sequence + 1

    def _pass(self, place: int, offset: int, reason: str) -> int | None:
        """Where to go on in this segment behind durable frames that are lost; None if nothing there can be read."""
        if not self.mending or self.secret is None:
            return None
        segment, lost = self.segments[place], self.sequence + 1
        if self.proven < lost:
            self.proven = max(self.proven, _testimony(self.segments[place:], offset, self.secret, lost))
        if self.proven < lost:
            return None
        found = _next_good(segment, offset + 1, salt_of(self.secret, segment.generation, segment.part), lost)
        number, at = found or (0, len(segment.data))
        if found is None and place + 1 < len(self.segments):
            header = decode_header(self.segments[place + 1].data)
            number = header.first if header is not None else 0
        if number < lost or number - lost > FRAMES_PASSED_MAX:
            return None
        self.passed.append(Damage(place, offset, lost, self.proven, reason))
        self.records += [LOST_RECORD] * (number - lost)
        self.sequence = number - 1
        return at

    def _misplaced(self, segment: Segment, header: SegmentHeader | None) -> str:
        """Why this segment cannot stand here; empty if it can."""
        if header is None:
            return "the segment's header is cut short or damaged"
        if (header.generation, header.part) != (segment.generation, segment.part):
            return "the segment's header belongs to another segment"
        if self.secret is not None and header.secret != self.secret:
            return "the segment was written in another directory"
        if not self.headers:
            return "" if header.part == 0 else "the segments before this one are missing"
        last = self.headers[-1]
        follows = (header.generation, header.part) in (
            (last.generation, last.part + 1),
            (last.generation + 1, 0),
        )
        if not follows or header.first != self.sequence + 1:
            return "records before this segment are missing"
        return ""

    def _walk(self, segment: Segment, offset: int) -> tuple[int, str]:
        """Take every good record from there on; where and why that ended (no reason: at the segment's end)."""
        assert self.secret is not None
        salt = salt_of(self.secret, segment.generation, segment.part)
        data = segment.data
        size = len(data)
        while offset < size:
            body_at = offset + FRAME_BYTES
            if body_at > size:
                return offset, "the record's frame is cut short"
            tag, length, number, durable = _FRAME.unpack_from(data, offset)
            check, body_check = _CHECKS.unpack_from(data, offset + _FRAME_HEAD_BYTES)
            if tag != _TAG or check != crc32(data[offset : offset + _FRAME_HEAD_BYTES], salt):
                return offset, "the record's frame does not match its checksum"
            if number != self.sequence + 1:
                return offset, f"record {number} stands where record {self.sequence + 1} belongs"
            self.proven = max(self.proven, durable)
            if length > RECORD_BYTES_MAX or length > size - body_at:
                return offset, "the record is cut short"
            body = data[body_at : body_at + length]
            if crc32(body, check) != body_check:
                return offset, "the record does not match its checksum"
            self.records.append(body)
            self.sequence = number
            offset = body_at + length
        return offset, ""

    def _judge(self, place: int, offset: int, reason: str) -> ScanResult:
        """Torn or rotten: see the rule above."""
        first = self.segments[0]
        if place == 0 and offset == 0 and (first.generation, first.part) != (0, 0):
            # Older generations are removed only when this one is durable: what begins the log is never new.
            return self._rot(place, offset, reason)
        if self.secret is None and any(segment.data for segment in self.segments[place:]):
            # The mark file, durable before the first segment exists, is gone too: nothing is left to judge
            # by.
            return self._rot(place, offset, reason + ", and nothing tells whether its records were durable")
        lost = self.sequence + 1
        if self.proven < lost and self.secret is not None:
            found = _testimony(self.segments[place:], offset, self.secret, lost)
            self.proven = max(self.proven, found)
        if self.proven >= lost:
            return self._rot(place, offset, reason)
        torn = Damage(place, offset, lost, self.proven, reason)
        return ScanResult(self.headers, self.records, self.sequence, torn, None, self.ends, self.passed)

    def _rot(self, place: int, offset: int, reason: str) -> ScanResult:
        damage = Damage(place, offset, self.sequence + 1, self.proven, reason)
        return ScanResult(self.headers, self.records, self.sequence, None, damage, self.ends)


def _testimony(segments: Sequence[Segment], offset: int, secret: bytes, enough: int) -> int:
    """The best testimony at or behind the damage, which begins at `offset` of the first segment; the search
    ends at the first that is `enough`."""
    best = 0
    for segment in segments:
        data = segment.data
        header = decode_header(data)
        if header is not None and header.secret == secret:
            best = max(best, header.durable)
        salt = salt_of(secret, segment.generation, segment.part)
        for match in _CANDIDATE.finditer(data, offset):
            if best >= enough:
                return best
            start = match.start()
            if len(data) - start < FRAME_BYTES:
                break
            (check,) = _CHECK.unpack_from(data, start + _FRAME_HEAD_BYTES)
            if check == crc32(data[start : start + _FRAME_HEAD_BYTES], salt):
                best = max(best, _FRAME.unpack_from(data, start)[3])
        if best >= enough:
            return best
        offset = 0
    return best


def _next_good(segment: Segment, offset: int, salt: int, above: int) -> tuple[int, int] | None:
    """Sequence and place of the first whole frame at or behind `offset` whose sequence is above; or None."""
    data = segment.data
    for match in _CANDIDATE.finditer(data, offset):
        start = match.start()
        body_at = start + FRAME_BYTES
        if body_at > len(data):
            break
        _, length, number, _ = _FRAME.unpack_from(data, start)
        check, body_check = _CHECKS.unpack_from(data, start + _FRAME_HEAD_BYTES)
        if check != crc32(data[start : start + _FRAME_HEAD_BYTES], salt) or number <= above:
            continue
        if length <= len(data) - body_at and crc32(data[body_at : body_at + length], check) == body_check:
            return number, start
    return None
