"""The log as files: one file a segment, `log-<generation>-<part>.segment`, format and recovery rule in
frames.py.

Invariant: nothing is cut off or removed unless it was never durable, or a newer generation and its snapshot
are. Writing happens on the host's thread, one write a call; syncing may happen on another, on what `take`
handed out. A file is made before the records in it are durable, and so is the directory's entry: both are
part of the sync.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from outvote.errors import BrokenStorage, Mistake, Rot
from outvote.storage.files import (
    broken,
    close_quietly,
    open_existing,
    open_new,
    read_all,
    remove,
    reserve,
    sync_directory,
    sync_file,
    write_all,
)
from outvote.storage.frames import (
    FORMAT_VERSION,
    FRAME_BYTES,
    HEADER_BYTES,
    NO_DIGEST,
    RECORD_BYTES_MAX,
    Damage,
    ScanResult,
    Segment,
    SegmentHeader,
    decode_header,
    encode_frames,
    encode_header,
    salt_of,
    scan,
)
from outvote.storage.mark import check_owner

SEGMENT_BYTES_MAX: Final = 64 << 20  # a new file is begun beyond this
RESERVE_BYTES: Final = 1 << 20  # at a time; docs/decisions/0024 says what it is for
BATCH_BYTES_MAX: Final = 256 << 20  # one append; 256 batches of 1 MiB, the most a window of slots holds
# No segment is longer; read at once.
FILE_BYTES_MAX: Final = SEGMENT_BYTES_MAX + BATCH_BYTES_MAX + RESERVE_BYTES + HEADER_BYTES

_NAME: Final = re.compile(r"log-(\d{10})-(\d{6})\.segment")

ROT_ADVICE: Final = (
    "do not repair it by cutting: restore the disk as it was, or give this replica an empty directory, which "
    "is safe only while it and all other faulty replicas together are at most f: it forgets its promises"
)

Place = tuple[int, int]  # generation, part within it


class Unsynced(NamedTuple):
    """What must be synced for everything up to `sequence` to be durable, in this order."""

    retired: list[tuple[int, Path]]  # finished segments, to be closed afterwards
    current: tuple[int, Path]
    directory: Path | None
    sequence: int


def segment_name(place: Place) -> str:
    return f"log-{place[0]:010d}-{place[1]:06d}.segment"


def list_segments(directory: Path) -> list[Place]:
    """Every segment there, in order. Raises BrokenStorage."""
    try:
        names = [entry.name for entry in directory.iterdir()]
    except OSError as error:
        raise broken(directory, "listing the directory", error) from None
    matches = [found for name in names if (found := _NAME.fullmatch(name))]
    return sorted((int(found[1]), int(found[2])) for found in matches)


def read_segments(directory: Path, places: Sequence[Place], owner: tuple[bytes, int]) -> list[Segment]:
    """Their bytes. Raises Mistake if one belongs to another cluster or replica, Rot if it is longer than any
    segment, BrokenStorage if it cannot be read."""
    segments: list[Segment] = []
    for place in places:
        path = directory / segment_name(place)
        data = read_all(path, FILE_BYTES_MAX)
        if data is None:
            raise Rot(f"{path}: byte {FILE_BYTES_MAX}: longer than any segment written here; {ROT_ADVICE}")
        header = decode_header(data)
        if header is not None:
            check_owner(path, header.version, (header.cluster, header.replica), owner)
        segments.append(Segment(place[0], place[1], data))
    return segments


def rot(directory: Path, places: Sequence[Place], damage: Damage) -> Rot:
    """The sentence for a durable record that is lost."""
    path = directory / segment_name(places[damage.segment]) if places else directory
    return Rot(
        f"{path}: byte {damage.offset}: {damage.reason}; record {damage.sequence} was durable and is lost; "
        f"{ROT_ADVICE}"
    )


def read_log(
    directory: Path, places: Sequence[Place], owner: tuple[bytes, int], secret: bytes | None, proven: int,
    mending: bool = False,
) -> ScanResult:
    """Read these segments back. Raises Rot, Mistake, BrokenStorage; what is torn stays for `cut`."""
    segments = read_segments(directory, places, owner)
    result = scan(segments, secret, proven, mending)
    if result.rot is not None:
        raise rot(directory, places, result.rot)
    return result


def cut(directory: Path, places: Sequence[Place], torn: Damage, report: Callable[[str], None]) -> list[Place]:
    """Cut a torn tail off and say so; the segments that are left. Raises BrokenStorage."""
    keep = torn.segment if torn.offset < HEADER_BYTES else torn.segment + 1
    path = directory / segment_name(places[torn.segment])
    dropped = _size(path) - torn.offset
    for place in reversed(places[torn.segment + 1 :]):
        dropped += _size(directory / segment_name(place))
        remove(directory / segment_name(place))
    if keep == torn.segment:
        remove(path)
    else:
        fd = open_existing(path)
        try:
            os.ftruncate(fd, torn.offset)
            sync_file(fd, path)
        except OSError as error:
            raise broken(path, "cutting a torn tail off", error) from None
        finally:
            close_quietly(fd)
    sync_directory(directory)
    report(
        f"{path}: byte {torn.offset}: {torn.reason}; cut off {dropped} bytes that were never durable"
    )
    return list(places[:keep])


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise broken(path, "reading the length", error) from None


class Log:
    """The end of the log, open for appending."""

    def __init__(
        self, directory: Path, owner: tuple[bytes, int], secret: bytes, segment_bytes_max: int, reserving: bool = False
    ) -> None:
        """`reserving`: whether segments are made longer than what is in them, for the sake of syncs that cost."""
        self.generation = 0
        self.sequence = 0  # last written
        self.durable = 0  # last known durable; quoted as testimony, so it may lag and must not run ahead
        self._directory = directory
        self._owner = owner
        self._secret = secret
        self._segment_bytes_max = min(segment_bytes_max, SEGMENT_BYTES_MAX)
        self._part = 0
        self._position = 0
        self._digest = NO_DIGEST
        self._salt = 0
        self._size = 0
        self._reserving = reserving
        self._reserved = 0  # the file's length, if it may be longer than what is in it
        self._fd = -1
        self._path = directory
        self._retired: list[tuple[int, Path]] = []
        self._has_new_names = False

    def begin(self) -> None:
        """An empty log. Raises BrokenStorage."""
        self._begin_segment(b"")

    def resume(self, last: SegmentHeader, sequence: int, end: int) -> None:
        """Go on in the last segment, good up to `sequence`, at the byte `end`, behind which are zeros if anything.
        Raises BrokenStorage."""
        self.generation, self._part = last.generation, last.part
        self._position, self._digest = last.position, last.digest
        self.sequence = sequence
        self._path = self._directory / segment_name((self.generation, self._part))
        self._fd = open_existing(self._path)
        try:
            self._reserved = os.lseek(self._fd, 0, os.SEEK_END)
            self._size = os.lseek(self._fd, end, os.SEEK_SET)
        except OSError as error:
            raise broken(self._path, "opening the file", error) from None
        self._salt = salt_of(self._secret, self.generation, self._part)
        self._has_new_names = True  # made before a crash, perhaps, and never synced

    def append(self, records: Sequence[bytes]) -> None:
        """One write. Raises Mistake if a record or all together are too long (nothing is written),
        BrokenStorage."""
        data = encode_frames(records, self.sequence + 1, self.durable, self._salt)
        if len(data) > RECORD_BYTES_MAX:  # else neither one record nor all together can be too long
            self._check_lengths(records)
        if self._size + len(data) > self._segment_bytes_max and self._size > HEADER_BYTES:
            self._retire()
            self._part += 1
            self._begin_segment_with(records)
            return
        if self._reserving:
            self._reserve(len(data))
        write_all(self._fd, self._path, data)
        self._size += len(data)
        self.sequence += len(records)

    def begin_generation(self, position: int, digest: bytes, head: Sequence[bytes]) -> int:
        """Its number. Raises Mistake if `head` is too long (nothing is written), BrokenStorage."""
        self._check_lengths(head)
        self._retire()
        self.generation += 1
        self._part = 0
        self._position, self._digest = position, digest
        self._begin_segment_with(head)
        return self.generation

    def take(self) -> Unsynced:
        """What `sync` must do now; call it on the thread that appends, or under its lock."""
        retired, self._retired = self._retired, []
        directory = self._directory if self._has_new_names else None
        self._has_new_names = False
        return Unsynced(retired, (self._fd, self._path), directory, self.sequence)

    def close(self) -> None:
        """Let go of the files, synced or not."""
        for fd, _ in self._retired:
            close_quietly(fd)
        self._retired = []
        if self._fd >= 0:
            with contextlib.suppress(BrokenStorage):
                self._trim()
            close_quietly(self._fd)
            self._fd = -1

    def _trim(self) -> None:
        """Give back what is reserved and not used. A crash may come first: zeros at the end mean nothing."""
        if self._reserved > self._size:
            self._reserved = self._size
            try:
                os.ftruncate(self._fd, self._size)
            except OSError as error:
                raise broken(self._path, "shortening the file", error) from None

    def _check_lengths(self, records: Sequence[bytes]) -> None:
        total = 0
        for body in records:
            if len(body) > RECORD_BYTES_MAX:
                raise Mistake(
                    f"a record of {len(body)} bytes is longer than {RECORD_BYTES_MAX}; lower the batch limit"
                )
            total += len(body) + FRAME_BYTES
        if total > BATCH_BYTES_MAX:
            raise Mistake(f"{total} bytes in one append, {BATCH_BYTES_MAX} is the most; hand over less")

    def _begin_segment_with(self, records: Sequence[bytes]) -> None:
        salt = salt_of(self._secret, self.generation, self._part)
        self._begin_segment(encode_frames(records, self.sequence + 1, self.durable, salt))
        self.sequence += len(records)

    def _begin_segment(self, frames: bytes) -> None:
        """A header and the first frames, in one write."""
        header = SegmentHeader(
            FORMAT_VERSION, self._owner[1], self.generation, self._part, self.sequence + 1, self.durable,
            self._position, self._owner[0], self._digest, self._secret,
        )
        data = encode_header(header) + frames
        self._salt = salt_of(self._secret, self.generation, self._part)
        self._path = self._directory / segment_name((self.generation, self._part))
        self._fd = open_new(self._path)
        self._has_new_names = True
        self._size = self._reserved = 0
        if self._reserving:
            self._reserve(len(data))
        write_all(self._fd, self._path, data)
        self._size = len(data)

    def _reserve(self, count: int) -> None:
        """Room for so many bytes more, and some to spare."""
        end = self._size + count
        if end > self._reserved:
            self._reserving = reserve(self._fd, self._size, count + RESERVE_BYTES)
            self._reserved = end + RESERVE_BYTES

    def _retire(self) -> None:
        self._trim()
        self._retired.append((self._fd, self._path))
        self._fd = -1


def sync(unsynced: Unsynced) -> None:
    """Everything taken is durable when this returns. Raises BrokenStorage, and then nothing may be synced
    again."""
    for fd, path in unsynced.retired:
        sync_file(fd, path)
        close_quietly(fd)
    sync_file(*unsynced.current)
    if unsynced.directory is not None:
        sync_directory(unsynced.directory)


def remove_generations_before(directory: Path, generation: int) -> None:
    """A removal that a crash interrupts leaves generations without their first segment, which recovery passes
    over. Raises BrokenStorage."""
    old = [place for place in list_segments(directory) if place[0] < generation]
    rest = [place for place in old if place[1] > 0]
    for place in old:
        if place[1] == 0:
            remove(directory / segment_name(place))
    if rest:
        sync_directory(directory)
        for place in rest:
            remove(directory / segment_name(place))
