"""The storage contract over one directory: the log, the snapshots, the mark file and the lock.

Invariants: `durable` reaches a ticket only after a sync that covers it has returned without error; after
the first failed write or sync nothing is written, synced or promised again; a generation is removed only
when two newer snapshots are durable.

Where syncing is cheap (a file system in memory, a drive with its own battery) `append` syncs before it
returns. Elsewhere one thread syncs: while a sync is under way, later appends pile up and the next sync
covers them all. Only where appends are rare, and syncs short, is the thread passed by: there is nothing to pile up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter_ns
from typing import Final, Literal, NamedTuple

from outvote.errors import BrokenStorage, Mistake, Rot
from outvote.storage.contract import Disk, Recovered, Ticket
from outvote.storage.files import (
    close_quietly,
    lock,
    make_directory,
    open_existing,
    open_new,
    remove,
    sync_directory,
    sync_file,
    write_all,
)
from outvote.storage.frames import ScanResult
from outvote.storage.log import (
    ROT_ADVICE,
    SEGMENT_BYTES_MAX,
    Log,
    Place,
    Unsynced,
    cut,
    list_segments,
    read_log,
    remove_generations_before,
    segment_name,
    sync,
)
from outvote.storage.mark import MARK_NAME, Mark, MarkRead, new_secret, read_mark
from outvote.storage.nodes import LmdbNodes, open_nodes
from outvote.storage.snapshots import (
    Aside,
    Snapshot,
    Unwritten,
    check_snapshot,
    list_snapshots,
    read_snapshot,
    remove_snapshots_before,
    remove_unfinished,
    salvage_snapshot,
    write_snapshot,
)
from outvote.types import DIGEST_BYTES, Digest, Position

Sync = Literal["auto", "inline", "thread"]

LOCK_NAME: Final = "lock"
CHEAP_SYNC_NS: Final = 60_000  # handing a sync to a thread and hearing back costs about this much
SHORT_SYNC_NS: Final = 1_000_000  # a loop may stand still for so long
RARE_TIMES: Final = 2  # appends are rare if they are so many syncs apart
_PROBES: Final = 5
_PROBE_BYTES: Final = 512


class _Start(NamedTuple):
    """Where recovery begins."""

    generation: int
    snapshot: Snapshot | None
    good: list[int]  # generations that recovery could begin from; 0 is the initial state
    salvage: bytes  # of the newest snapshot, if none is good


class DirectoryDisk(Disk):
    """One replica's directory. Every method is called on the host's thread.

    `post(fn)` runs `fn` on the host's thread soon, and may be called from any (asyncio's
    call_soon_threadsafe); without it, "auto" syncs inline. `report` hears what recovery had to do.
    `on_durable` is called when `durable` grew, or something failed, in the background; growth inside
    `append` is seen when it returns.
    """

    def __init__(
        self, path: str | Path, cluster: bytes, replica: int, *, sync: Sync = "auto",
        post: Callable[[Callable[[], None]], None] | None = None, report: Callable[[str], None] | None = None,
        segment_bytes_max: int = SEGMENT_BYTES_MAX, nodes: bool = False, reserving: bool | None = None,
    ) -> None:
        """`nodes`: whether there is to be a node store beside the log. `reserving`: whether the log's files are made
        longer than what is in them; None: where syncs cost. Touches nothing yet. Raises Mistake."""
        super().__init__()
        if len(cluster) != DIGEST_BYTES:
            raise Mistake(f"a cluster's identity has {DIGEST_BYTES} bytes, not {len(cluster)}")
        if sync == "thread" and post is None:
            raise Mistake("syncing in a thread needs `post`; hand over the loop's call_soon_threadsafe")
        self._path = Path(path)
        self._owner = (cluster, replica)
        self._mode: Sync = sync
        self._post = post
        self._report = report if report is not None else _unheard
        self._segment_bytes_max = segment_bytes_max
        self._with_nodes = nodes
        self._lmdb: LmdbNodes | None = None
        self._lock_fd = -1
        self._log: Log | None = None
        self._mark: Mark | None = None
        self._good: list[int] = []
        self._aside = Aside(self._path)
        self._failure: BrokenStorage | None = None
        self._state: Literal["new", "open", "closed"] = "new"
        self._issued: Ticket = 0  # last ticket handed out
        # Between the host's thread and the one that syncs, under `_wake`: everything below, `_issued` and
        # the log.
        self._wake = threading.Condition(threading.Lock())
        self._worker: threading.Thread | None = None
        self._synced: Ticket = 0
        self._reserving = reserving
        self._sync_ns = 0  # about how long a sync takes; 0: the thread does them all
        self._appended_at = 0
        self._is_working = False  # the thread, outside of `_wake`
        self._waiting: Unwritten | None = None  # to be stored next; a newer one takes its place
        self._stored: Position = 0  # of the newest one stored
        self._is_closing = False

    @property
    def syncs_inline(self) -> bool:
        """Whether `append` syncs before it returns; settled by `recover`."""
        return self._worker is None

    def recover(self, mending: bool = False) -> Recovered:
        if self._state != "new":
            raise Mistake(f"{self._path}: already recovered; make a new DirectoryDisk to read it again")
        make_directory(self._path)
        self._lock_fd = lock(self._path / LOCK_NAME)
        try:
            if self._mode == "auto" and self._post is not None:
                self._sync_ns = self._sync_takes_ns()
            threaded = self._mode == "thread" or self._sync_ns >= CHEAP_SYNC_NS
            if self._reserving is None:
                self._reserving = threaded and self._sync_ns > 0
            recovered = self._recover(mending)
            if self._with_nodes:
                self.nodes = self._lmdb = open_nodes(self._path, self._report)
        except BaseException:
            self._release()
            raise
        self._state = "open"
        if threaded:
            name = f"outvote-sync-{self._owner[1]}"
            self._worker = threading.Thread(target=self._work, name=name, daemon=True)
            self._worker.start()
        return recovered

    def append(self, records: Sequence[bytes], notes: Sequence[bytes]) -> Ticket:
        log = self._usable()
        if not records:
            if notes:
                with self._wake:
                    self._guard(lambda: log.append(notes))
            return self._issued
        both = [*records, *notes] if notes else records
        if self._worker is None:
            try:
                log.append(both)
                self._issued += 1
                self._commit(log.take(), self._issued)
            except BrokenStorage as error:
                self._failure = error
                raise
            self.durable = self._issued
            return self._issued
        with self._wake:
            self._guard(lambda: log.append(both))
            self._issued += 1
            before, self._appended_at = self._appended_at, perf_counter_ns()
            at_leisure = 0 < self._sync_ns < min(SHORT_SYNC_NS, (self._appended_at - before) // RARE_TIMES)
            if at_leisure and not self._is_working and not self._waiting and self._synced == self._issued - 1:
                self._guard(lambda: self._commit(log.take(), self._issued))
                self.durable = self._issued
            else:
                self._wake.notify()
        return self._issued

    def keep(
        self, position: Position, digest: Digest, snapshot: bytes | Iterable[bytes], head: Sequence[bytes]
    ) -> None:
        log = self._usable()
        check_snapshot(snapshot if isinstance(snapshot, bytes) else b"", digest)
        with self._wake:
            self._guard(lambda: log.begin_generation(position, digest, head))
            task = Unwritten(log.generation, position, log.sequence, digest, snapshot)
            if self._worker is not None:
                self._waiting = task
                self._wake.notify()
        if self._worker is None:
            self._guard(lambda: self._commit(log.take(), self._issued))
            self._guard(lambda: _exhaust(self._store(task)))
            self.kept = self._stored
            self._guard(self._aside.clear)

    def set_aside(self, data: bytes) -> None:
        self._usable()
        self._guard(lambda: self._aside.append(data))

    def check(self) -> None:
        if self._failure is not None:
            raise type(self._failure)(str(self._failure))

    def close(self) -> None:
        if self._state != "open":
            self._state = "closed"
            return
        self._state = "closed"
        known = self._failure
        if self._worker is not None:
            with self._wake:
                self._is_closing = True
                self._wake.notify()
            self._worker.join()
        elif known is None and self._log is not None:
            try:
                self._commit(self._log.take(), self._issued)
            except BrokenStorage as error:
                self._failure = error
        if self._failure is None:
            self.durable = self._synced
        self._release()
        if known is None:
            self.check()

    def _recover(self, mending: bool) -> Recovered:
        remove_unfinished(self._path)
        cluster, replica = self._owner
        mark = read_mark(self._path, cluster, replica)
        start = self._choose_start()
        places = [place for place in list_segments(self._path) if place[0] >= start.generation]
        self._check_beginning(places, start)
        proven = max(mark.proven, start.snapshot.sequence if start.snapshot is not None else 0)
        result = read_log(self._path, places, self._owner, mark.secret, proven, mending)
        for damage in result.passed:
            path = self._path / segment_name(places[damage.segment])
            self._report(f"{path}: byte {damage.offset}: {damage.reason}; records are lost there, and good ones follow")
        if result.torn is not None:
            places = cut(self._path, places, result.torn, self._report)
        self._open(mark, places, result)
        self._good = start.good
        salvage = start.salvage + self._aside.read()
        if start.snapshot is None:
            return Recovered(0, b"", b"", result.records, salvage)
        snapshot = start.snapshot
        return Recovered(snapshot.position, snapshot.digest, snapshot.state, result.records, salvage)

    def _choose_start(self) -> _Start:
        """The newest snapshot that can be read, or the oldest generation if there is none."""
        generations = list_snapshots(self._path)
        damaged = False
        for generation in reversed(generations):
            try:
                snapshot = read_snapshot(self._path, generation, self._owner)
            except BrokenStorage as error:
                self._report(f"{error}; falling back to an older one and the log since then")
                damaged = True
                continue
            return _Start(generation, snapshot, [generation], b"")
        if not damaged:
            return _Start(0, None, [0], b"")
        salvage = salvage_snapshot(self._path, generations[-1])
        if (0, 0) in list_segments(self._path):
            return _Start(0, None, [0], salvage)
        self._report(
            f"{self._path}: no snapshot can be read; the records are all there, the state must come from the others"
        )
        return _Start(generations[0], None, [], salvage)

    def _check_beginning(self, places: Sequence[Place], start: _Start) -> None:
        """Raises Rot if a generation that must be there is not."""
        first = (start.generation, 0)
        newest = max(list_snapshots(self._path), default=0)
        if newest > 0 and (not places or places[-1][0] < newest):
            path = self._path / segment_name((newest, 0))
            raise Rot(f"{path}: byte 0: the log of the newest snapshot is missing; {ROT_ADVICE}")
        if places and places[0] != first:
            raise Rot(f"{self._path / segment_name(first)}: byte 0: the segment is missing; {ROT_ADVICE}")

    def _open(self, mark: MarkRead, places: Sequence[Place], result: ScanResult) -> None:
        """Make what was read durable and testify to it; then the log is open for appending."""
        secret = mark.secret or (result.headers[0].secret if result.headers else new_secret())
        if mark.secret is None and (mark.present or places):
            path = self._path / MARK_NAME
            self._report(f"{path}: missing or damaged, written anew; no record depends on it")
        log = Log(self._path, self._owner, secret, self._segment_bytes_max, bool(self._reserving))
        self._log = log
        if places:
            for place in places:
                _sync_existing(self._path / segment_name(place))
            sync_directory(self._path)
            log.resume(result.headers[len(places) - 1], result.sequence, result.ends[len(places) - 1])
            self._mark = Mark(self._path, self._owner[0], self._owner[1], secret, result.sequence)
        else:
            # The secret is durable before any segment needs it to be judged.
            self._mark = Mark(self._path, self._owner[0], self._owner[1], secret, 0)
            log.begin()
        self._commit(log.take(), 0)

    def _sync_takes_ns(self) -> int:
        """At least 1. Raises BrokenStorage."""
        path = self._path / "probe.temp"
        fd = open_new(path)
        took: list[int] = []
        try:
            for _ in range(_PROBES):
                write_all(fd, path, bytes(_PROBE_BYTES))
                begun = perf_counter_ns()
                sync_file(fd, path)
                took.append(perf_counter_ns() - begun)
        finally:
            close_quietly(fd)
            remove(path)
        return max(1, int(median(took)))

    def _usable(self) -> Log:
        if self._failure is not None:
            self.check()
        if self._state != "open" or self._log is None:
            raise Mistake(f"{self._path}: the disk is not open; call recover first, and nothing after close")
        return self._log

    def _guard(self, write: Callable[[], object]) -> None:
        """What fails once is broken for good."""
        try:
            write()
        except BrokenStorage as error:
            self._failure = error
            raise

    def _commit(self, unsynced: Unsynced, ticket: Ticket) -> None:
        """Sync, then testify. Called by the one thread that syncs, or under `_wake` while it has nothing to do."""
        begun = perf_counter_ns()
        sync(unsynced)
        if self._sync_ns:
            self._sync_ns = max(1, self._sync_ns + (perf_counter_ns() - begun - self._sync_ns) // 8)
        assert self._mark is not None
        assert self._log is not None
        self._mark.renew(unsynced.sequence)
        self._log.durable = unsynced.sequence
        self._synced = ticket

    def _store(self, snapshot: Unwritten) -> Iterator[None]:
        """Write the snapshot; when it is durable, forget all but two generations."""
        yield from write_snapshot(self._path, self._owner, snapshot)
        self._good = [*self._good[-1:], snapshot.generation]
        if len(self._good) == 2:
            remove_snapshots_before(self._path, self._good[0])
            remove_generations_before(self._path, self._good[0])
        self._stored = snapshot.position
        if self._worker is not None:
            self._tell()

    def _work(self) -> None:
        """The one thread that syncs. The log goes first; a snapshot advances a step at a time between
        syncs."""
        try:
            self._sync_until_closed()
        except BrokenStorage as error:
            self._failure = error
        except Exception as error:  # a defect must stop the replica, not leave it waiting forever
            self._failure = BrokenStorage(f"{self._path}: syncing ended unexpectedly: {error!r}")
        if self._failure is not None:
            self._tell()

    def _sync_until_closed(self) -> None:
        log = self._log
        assert log is not None
        storing: Iterator[None] | None = None
        while True:
            unsynced: Unsynced | None = None
            with self._wake:
                self._is_working = False
                while not (self._issued > self._synced or storing or self._waiting or self._is_closing):
                    self._wake.wait()
                if self._failure is not None:
                    return  # a write failed on the host's thread
                begun = None
                if storing is None and self._waiting is not None:
                    begun, self._waiting = self._waiting, None
                is_behind = self._issued > self._synced or (self._is_closing and log.sequence > log.durable)
                if is_behind or begun is not None:
                    unsynced = log.take()
                ticket = self._issued
                self._is_working = True
            if unsynced is None and begun is None and storing is None:
                return
            if unsynced is not None:
                has_grown = ticket > self._synced
                self._commit(unsynced, ticket)
                if has_grown:
                    self._tell()
            if begun is not None:
                storing = self._store(begun)
            elif storing is not None:
                storing = _step(storing)

    def _tell(self) -> None:
        """Have the host's thread look."""
        if self._is_closing or self._post is None:
            return
        try:
            self._post(self._announce)
        except RuntimeError:
            return  # the host's loop is closed: nobody is left to be told

    def _announce(self) -> None:
        if self._state != "open":
            return
        has_grown = self._synced > self.durable or self._stored > self.kept
        if self._stored > self.kept:
            self._guard(self._aside.clear)
        self.durable = max(self.durable, self._synced)
        self.kept = self._stored
        if has_grown or self._failure is not None:
            self.on_durable()

    def _release(self) -> None:
        if self._lmdb is not None:
            self._lmdb.close()
        self._aside.close()
        if self._log is not None:
            self._log.close()
        if self._mark is not None:
            failure = self._mark.close()
            if failure is not None and self._failure is None:
                self._report(str(failure))
        if self._lock_fd >= 0:
            close_quietly(self._lock_fd)
            self._lock_fd = -1


def _sync_existing(path: Path) -> None:
    fd = open_existing(path)
    try:
        sync_file(fd, path)
    finally:
        close_quietly(fd)


def _step(storing: Iterator[None]) -> Iterator[None] | None:
    """None when there is nothing left to do."""
    for _ in storing:
        return storing
    return None


def _exhaust(steps: Iterator[None]) -> None:
    for _ in steps:
        pass


def _unheard(text: str) -> None:
    """Nobody asked for reports."""
