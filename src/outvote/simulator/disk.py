"""A disk with every fault that disks have. Its bytes are the real formats, and the real rule reads them back.

The order of events is DirectoryDisk's: one sync at a time covers everything written before it began; a generation's
snapshot is stored after its head is durable, older generations go after that; after the first failure nothing is
written or promised any more. With `sync_max_ns` 0 a checkpoint is stored at once, as where syncing is cheap.

Kept: what was durable is read back, or Rot is raised. `hurt` says that somebody damaged durable bytes, and only then
may recovery fail for good.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import NamedTuple

from outvote.core.node_store import MemoryNodes
from outvote.errors import BrokenStorage, DiskFull, Rot
from outvote.simulator.checkers.violation import Violation
from outvote.simulator.disk_files import (
    CLUSTER,
    SECTOR_BYTES,
    SegmentFile,
    decode_snapshot,
    encode_snapshot,
    flip_bit,
    spoil_sector,
)
from outvote.storage import frames
from outvote.storage.contract import Disk, Recovered, Ticket
from outvote.storage.snapshots import HEADER_BYTES, Snapshot
from outvote.types import Digest, Nanos, Position

SECRET = bytes(range(frames.SECRET_BYTES))
POWER_FAILS = 0.85  # of crashes; in the others only the process is gone, and the operating system writes the rest


class DiskImage(NamedTuple):
    """A whole disk as it was: what a restored backup is."""

    generations: list[SegmentFile]
    snapshots: dict[int, bytes]
    mark: int
    sequence: int
    good: list[int]
    nodes: dict[int, bytes]
    facts: dict[bytes, bytes]


class SimulatedDisk(Disk):
    """One replica's disk; survives the replica. `after(delay, action)` schedules in the world's time."""

    def __init__(
        self, replica: int, rng: Random, after: Callable[[Nanos, Callable[[], None]], None], sync_max_ns: Nanos
    ) -> None:
        super().__init__()
        self.nodes = self._nodes = MemoryNodes()
        self._replica = replica
        self._rng = rng
        self._after = after
        self._sync_max_ns = sync_max_ns
        self._generations: list[SegmentFile] = []
        self._snapshots: dict[int, bytes] = {}
        self._aside = bytearray()  # what was set aside since the last snapshot
        self._good: list[int] = []  # generations that recovery could begin from; 0 is the initial state
        self._mark = 0  # the mark file: renewed after each sync, not synced itself
        self._older_mark = 0  # in its other slot
        self._sequence = 0  # of the last frame written
        self._durable_sequence = 0
        self._ticket: Ticket = 0
        self._waiting: Snapshot | None = None  # to be stored next
        self._incarnation = 0
        self._syncing = False
        self._storing = False
        self._failure: BrokenStorage | None = None
        self._saved: DiskImage | None = None
        self.hurt = False  # durable bytes were damaged: Rot may be raised
        self.full = False
        self.fails_next_sync = False
        self.misdirects_next_write = False
        self.next_crash = ""  # "keeps" what is not synced, "loses" or "tears" it; as chance will have it if empty
        self.tears: Random | None = None  # how the next crash tears
        self.unreadable = 0  # so many attempts to read it fail
        self.counts: dict[str, int] = {}  # by name of a coverage mark

    @property
    def settled(self) -> bool:
        """Whether a crash now would lose nothing."""
        for generation in self._generations:
            if generation.synced != len(generation.data) or not generation.is_named:
                return False
        return True

    # ------------------------------------------------------------------ reading back

    def recover(self, mending: bool = False) -> Recovered:
        if self.unreadable:
            self.unreadable -= 1
            self._count("disk: read error")
            raise BrokenStorage(f"replica {self._replica}: reading failed (Input/output error)")
        if self.full:
            raise DiskFull(f"replica {self._replica}: no space left while writing the mark file")
        start, snapshot = self._choose_start()
        salvage = bytes(self._aside)
        if snapshot is None and self._snapshots:
            salvage = self._snapshots[max(self._snapshots)][HEADER_BYTES:] + salvage
        chosen = [one for one in self._generations if one.number >= start]
        self._check_beginning(chosen, start)
        scan = frames.scan(
            [frames.Segment(one.number, 0, bytes(one.data)) for one in chosen], SECRET if chosen else None,
            max(self._mark, snapshot.sequence if snapshot is not None else 0), mending,
        )
        if scan.passed:
            if not self.hurt:
                raise Violation("durable records", f"nobody hurt the disk of {self._replica}, and records are lost")
            self._count("disk: rot passed by")
        if scan.rot is not None:
            self._rotten(scan.rot.reason)
        if scan.torn is not None:
            self._cut(chosen[scan.torn.segment], scan.torn.offset)
        elif chosen and scan.ends[-1] < len(chosen[-1].data):
            self._count("torn tails")  # of nothing but zeros: what comes next is written over them
            del chosen[-1].data[scan.ends[-1] :]
            chosen[-1].synced = min(chosen[-1].synced, scan.ends[-1])
        self._take_over(scan.sequence)
        if snapshot is None:
            return Recovered(0, b"", b"", list(scan.records), salvage)
        return Recovered(snapshot.position, snapshot.digest, snapshot.state, list(scan.records), salvage)

    def _choose_start(self) -> tuple[int, Snapshot | None]:
        """As DirectoryDisk does: the newest snapshot that can be read, or the oldest generation if there is none."""
        damaged = False
        for generation in sorted(self._snapshots, reverse=True):
            snapshot = decode_snapshot(self._snapshots[generation])
            if snapshot is not None:
                if damaged:
                    self._count("disk: older state used")
                self._good = [generation]
                return generation, snapshot
            damaged = True
        self._good = [0]
        if not damaged or any(one.number == 0 for one in self._generations):
            if damaged:
                self._count("disk: older state used")
            return 0, None
        self._count("disk: no state readable")
        self._good = []
        return min(self._snapshots), None

    def _check_beginning(self, chosen: Sequence[SegmentFile], start: int) -> None:
        newest = max(self._snapshots, default=0)
        if newest > 0 and (not chosen or chosen[-1].number < newest):
            self._rotten("the log of the newest snapshot is missing")
        if chosen and chosen[0].number != start:
            self._rotten("the first segment is missing")

    def _rotten(self, reason: str) -> None:
        if self.hurt:
            self._count("disk: rot found")
        raise Rot(f"replica {self._replica}: a durable record is lost: {reason}")

    def _cut(self, torn: SegmentFile, offset: int) -> None:
        """What was never durable goes."""
        self._count("torn tails")
        keep = torn.number - (offset < frames.HEADER_BYTES)
        self._generations = [one for one in self._generations if one.number <= keep]
        if keep == torn.number:
            del torn.data[offset:]
            torn.synced = min(torn.synced, offset)

    def _take_over(self, sequence: int) -> None:
        """What was read is acted upon, so it is made durable first. Raises Rot if durable records vanished unseen."""
        promised, self._sequence = self._durable_sequence, sequence
        if not self._generations:
            self._begin(0, b"", [])
        for generation in self._generations:
            generation.settle()
        self._durable_sequence = self._sequence
        marked, self._mark, self._older_mark = self._mark, self._sequence, self._sequence
        if self._sequence < promised:
            if not self.hurt or self._sequence < marked:
                lost = f"{self._sequence + 1} to {promised}"
                raise Violation("durable records", f"replica {self._replica} cut off records {lost} without a word")
            # The mark lagged, and the damage lies in the very last batch: storage/frames.py says what remains.
            self._count("disk: rot taken for a torn tail")
            self.forgot_promises()
        self._failure = None

    def forgot_promises(self) -> None:
        """Told when recovery cut off what was durable, and nothing on the disk could have told."""

    # ------------------------------------------------------------------ writing

    def append(self, records: Sequence[bytes], notes: Sequence[bytes]) -> Ticket:
        self.check()
        self._write([*records, *notes])
        if records:
            self._ticket += 1
            self._sync()
        return self._ticket

    def keep(
        self, position: Position, digest: Digest, snapshot: bytes | Iterable[bytes], head: Sequence[bytes]
    ) -> None:
        self.check()
        self._begin(position, digest, head)
        state = snapshot if isinstance(snapshot, bytes) else b"".join(snapshot)
        task = Snapshot(self._generations[-1].number, position, self._sequence, digest, state)
        if self._sync_max_ns:
            self._waiting = task
            self._sync()
            return
        self._synced([(one, len(one.data)) for one in self._generations], self._sequence)
        self._store(task)

    def set_aside(self, data: bytes) -> None:
        self.check()
        self._aside += data

    def check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        return

    def _begin(self, position: Position, digest: Digest, head: Sequence[bytes]) -> None:
        number = self._generations[-1].number + 1 if self._generations else 0
        generation = SegmentFile(number, position, digest)
        generation.data += frames.encode_header(
            frames.SegmentHeader(
                frames.FORMAT_VERSION, self._replica, number, 0, self._sequence + 1, self._durable_sequence,
                position, CLUSTER, digest or frames.NO_DIGEST, SECRET,
            )
        )
        self._generations.append(generation)
        self._write(head)

    def _write(self, bodies: Sequence[bytes]) -> None:
        generation = self._generations[-1]
        data = frames.encode_frames(
            bodies, self._sequence + 1, self._durable_sequence, frames.salt_of(SECRET, generation.number, 0)
        )
        if self.full:
            generation.data += data[: self._rng.randrange(len(data) + 1)]
            self._count("disk: full")
            self._fail(DiskFull(f"replica {self._replica}: no space left while writing"))
        if self.misdirects_next_write and data:
            data = self._misdirect(generation, data)
        generation.data += data
        self._sequence += len(bodies)

    def _fail(self, failure: BrokenStorage) -> None:
        """What fails once is broken for good."""
        self._failure = failure
        raise failure

    def _sync(self) -> None:
        """One sync at a time; what is written meanwhile waits for the next one."""
        if self._syncing:
            return
        self._syncing = True
        incarnation, ticket, sequence = self._incarnation, self._ticket, self._sequence
        covered = [(one, len(one.data)) for one in self._generations if not one.is_settled]
        storing: Snapshot | None = None
        if not self._storing and self._waiting is not None:
            storing, self._waiting, self._storing = self._waiting, None, True

        def done() -> None:
            if incarnation != self._incarnation:
                return
            self._syncing = False
            if self.fails_next_sync:
                self.fails_next_sync = False
                self._count("disk: sync failed")
                self._failure = BrokenStorage(f"replica {self._replica}: syncing failed (Input/output error)")
                self.on_durable()
                return
            self._synced(covered, sequence)
            if storing is not None:
                self._after(self._delay(), lambda: self._stored(incarnation, storing))
            self.durable = ticket
            if self._ticket > ticket or (self._waiting is not None and not self._storing):
                self._sync()
            self.on_durable()

        self._after(self._delay(), done)

    def _delay(self) -> Nanos:
        return self._rng.randrange(self._sync_max_ns) if self._sync_max_ns else 0

    def _synced(self, covered: Sequence[tuple[SegmentFile, int]], sequence: int) -> None:
        for generation, size in covered:
            generation.synced = max(generation.synced, size)
            generation.is_named = True
        self._durable_sequence = max(self._durable_sequence, sequence)
        self._older_mark, self._mark = self._mark, self._durable_sequence

    def _stored(self, incarnation: int, snapshot: Snapshot) -> None:
        if incarnation == self._incarnation and self._failure is None:
            self._store(snapshot)
            self._storing = False
            if self._waiting is not None:
                self._sync()
            self.on_durable()

    def _store(self, snapshot: Snapshot) -> None:
        """The snapshot is durable under its name: forget all but two generations."""
        self._snapshots[snapshot.generation] = encode_snapshot(self._replica, snapshot)
        self._good = [*self._good[-1:], snapshot.generation]
        self.kept = snapshot.position
        self._aside.clear()
        self.stored(snapshot.position, snapshot.digest)
        if len(self._good) == 2:
            oldest = self._good[0]
            self._snapshots = {number: data for number, data in self._snapshots.items() if number >= oldest}
            self._generations = [one for one in self._generations if one.number >= oldest]

    def stored(self, position: Position, digest: Digest) -> None:
        """Told when a snapshot has become durable."""

    def log_rotted(self) -> None:
        """Told when durable bytes of the log were damaged."""

    def state_rotted(self, position: Position) -> None:
        """Told when snapshots were damaged, with the position of the newest good one, or 0."""

    # ------------------------------------------------------------------ what happens to it

    def crash(self) -> None:
        """The process is gone, and mostly the power: what was not synced survives in part, in any order."""
        self._incarnation += 1
        self._syncing = self._storing = False
        self._waiting = None
        self._failure = None
        self.durable = self._ticket = 0
        rng, manner = self._rng if self.tears is None else self.tears, self.next_crash
        self.next_crash, self.tears = "", None
        if manner == "keeps" or (not manner and rng.random() >= POWER_FAILS):
            return
        if self._aside:
            del self._aside[rng.randrange(len(self._aside) + 1) :]
        old = bytes(self._generations[0].data) if self._generations else b""
        for generation in list(self._generations):
            if generation.is_settled:
                continue
            if manner == "loses":
                self._lose_unsynced(generation)
                continue
            # Without its entry in the directory a file is gone, whatever of its bytes was written.
            if not generation.is_named and rng.random() < 0.3:
                self._generations.remove(generation)
                self._count("disk: file lost with its directory entry")
                continue
            damaged = generation.tear(rng, old)
            if damaged:
                self._count("disk: unsynced bytes lost or torn")
        self._mark = rng.choice((self._mark, self._mark, self._older_mark))

    def _lose_unsynced(self, generation: SegmentFile) -> None:
        if generation.is_named:
            del generation.data[generation.synced :]
        else:
            self._generations.remove(generation)
        self._count("disk: unsynced bytes lost or torn")

    def rot_log(self, rng: Random, sector: bool) -> bool:
        """A bit or a sector of the durable log changes; False if there is none yet."""
        readable = [one for one in self._generations if one.synced > 0 and one.number >= max(self._good, default=0)]
        if not readable:
            return False
        chosen = rng.choice(readable)
        (spoil_sector if sector else flip_bit)(chosen.data, rng, chosen.synced)
        self.log_rotted()
        self.hurt = True
        self._count("disk: log rotted")
        return True

    def rot_states(self, rng: Random, count: int) -> bool:
        """A bit changes in each of the newest `count` snapshots; False if there are not as many."""
        if len(self._snapshots) < count:
            return False
        for generation in sorted(self._snapshots)[-count:]:
            data = bytearray(self._snapshots[generation])
            if decode_snapshot(bytes(data)) is None:
                continue  # the same bit twice would heal it
            flip_bit(data, rng, len(data))
            self._snapshots[generation] = bytes(data)
        good = [one for one in map(decode_snapshot, self._snapshots.values()) if one is not None]
        self.state_rotted(max((one.position for one in good), default=0))
        self._count("disk: state rotted", count)
        return True

    def rot_nodes(self, rng: Random, count: int) -> int:
        """A bit changes in so many nodes of the store, or in all if there are fewer. Returns in how many."""
        places = sorted(self._nodes.nodes)
        chosen = rng.sample(places, min(count, len(places)))
        for place in chosen:
            data = bytearray(self._nodes.nodes[place])
            flip_bit(data, rng, len(data))
            self._nodes.nodes[place] = bytes(data)
        self._count("disk: nodes rotted", len(chosen))
        return len(chosen)

    def _misdirect(self, generation: SegmentFile, data: bytes) -> bytes:
        """The first sector of this write lands on another of the log; its own place stays zero."""
        self.misdirects_next_write = False
        self.hurt = True
        self._count("disk: write misdirected")
        piece = data[:SECTOR_BYTES]
        place = self._rng.randrange(max(1, generation.synced)) // SECTOR_BYTES * SECTOR_BYTES
        end = min(place + len(piece), len(generation.data))
        generation.data[place:end] = piece[: end - place]
        return bytes(len(piece)) + data[len(piece) :]

    def newest(self) -> tuple[Position, Digest]:
        """Of the newest state that it holds; the initial one has no digest."""
        image = self._snapshots.get(max(self._good, default=0))
        snapshot = None if image is None else decode_snapshot(image)
        return (0, b"") if snapshot is None else (snapshot.position, snapshot.digest)

    def save(self) -> None:
        """Somebody copies the disk, as it would be found after a power failure."""
        self._saved = self._image()

    def restore_saved(self) -> bool:
        """Somebody puts the copy back; False if there is none, or nothing has happened since."""
        saved = self._saved
        if saved is None or saved.sequence == self._durable_sequence:
            return False
        self._generations = [one.copy() for one in saved.generations]
        self._snapshots = dict(saved.snapshots)
        self._good = list(saved.good)
        self._mark = self._older_mark = saved.mark
        self._sequence = self._durable_sequence = saved.sequence
        self._nodes.nodes, self._nodes.known = dict(saved.nodes), dict(saved.facts)
        self._count("disk: stale one restored")
        return True

    def replace(self) -> None:
        """A new, empty disk."""
        self._nodes.clear()
        self._generations.clear()
        self._snapshots.clear()
        self._aside.clear()
        self._good.clear()
        self._mark = self._older_mark = self._sequence = self._durable_sequence = 0
        self.hurt = self.full = self.fails_next_sync = self.misdirects_next_write = False
        self.unreadable = 0
        self._saved = None
        self._count("disk: lost and replaced")

    def mend(self) -> None:
        """Nothing new happens to it from now on; what is damaged stays damaged."""
        self.full = self.fails_next_sync = self.misdirects_next_write = False
        self.unreadable = 0

    def _image(self) -> DiskImage:
        return DiskImage(
            [one.copy() for one in self._generations if one.is_named], dict(self._snapshots), self._mark,
            self._durable_sequence, list(self._good), dict(self._nodes.nodes), dict(self._nodes.known),
        )

    def _count(self, what: str, amount: int = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + amount
