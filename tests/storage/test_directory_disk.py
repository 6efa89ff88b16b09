"""One directory: what was durable comes back, or recovery refuses and says where; owners, locks, failures."""

from __future__ import annotations

import errno
import os
import queue
import random
import sys
import threading
from pathlib import Path

import pytest
from directories import CLUSTER, REPLICA, HostThread, copy, digest, inline
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outvote.errors import BrokenStorage, DiskFull, Mistake, Rot
from outvote.storage import directory, log
from outvote.storage.contract import Recovered
from outvote.storage.directory import DirectoryDisk
from outvote.storage.frames import FRAME_BYTES, HEADER_BYTES
from outvote.storage.log import list_segments, segment_name
from outvote.storage.memory import MemoryDisk
from outvote.storage.snapshots import list_snapshots, snapshot_name

EMPTY = Recovered(0, b"", b"", [])


def make_syncs_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that recover thousands of times and lose no power."""
    for name in ("fdatasync", "fsync"):
        monkeypatch.setattr(os, name, lambda fd: None)


def read(path: Path, reports: list[str] | None = None) -> Recovered:
    disk = inline(path, reports)
    try:
        return disk.recover()
    finally:
        disk.close()


def lived(path: Path) -> Recovered:
    """A directory with two generations, three segments and records in each; what it should give back."""
    disk = inline(path, segment_bytes_max=HEADER_BYTES + 130)
    disk.recover()
    disk.append([b"gone with generation 0"], [])
    disk.keep(10, digest(b"ten"), b"ten", [b"head of 1"])
    disk.append([b"r1", b"r2"], [b"n1"])
    disk.keep(20, digest(b"twenty"), b"twenty", [b"head of 2"])
    disk.append([b"r3"], [])
    disk.append([b"r4" * 9], [b"n2"])
    disk.append([b"r5"], [])
    disk.close()
    return Recovered(20, digest(b"twenty"), b"twenty", [b"head of 2", b"r3", b"r4" * 9, b"n2", b"r5"])


def test_an_empty_directory_gives_nothing_and_stays_private(tmp_path: Path) -> None:
    path = tmp_path / "data"
    assert read(path) == EMPTY
    assert read(path) == EMPTY
    assert path.stat().st_mode & 0o777 == 0o700
    assert {entry.stat().st_mode & 0o777 for entry in path.iterdir()} == {0o600}


def test_round_trip_over_many_restarts(tmp_path: Path) -> None:
    expected: list[bytes] = []
    for life in range(5):
        reports: list[str] = []
        disk = inline(tmp_path / "data", reports, segment_bytes_max=300)
        assert disk.recover() == Recovered(0, b"", b"", expected)
        assert reports == []
        for number in range(4):
            records, notes = [b"r%d.%d" % (life, number), b"x" * number], [b"n%d" % number]
            assert disk.append(records, notes) == number + 1
            assert disk.durable == number + 1
            assert disk.append([], [b"only a note"]) == number + 1
            expected += [*records, *notes, b"only a note"]
        disk.close()
    assert len(list_segments(tmp_path / "data")) > 3


def test_two_generations_are_kept(tmp_path: Path) -> None:
    expected = lived(tmp_path)
    assert list_snapshots(tmp_path) == [1, 2]
    assert {place[0] for place in list_segments(tmp_path)} == {1, 2}
    assert len(list_segments(tmp_path)) > 3
    assert read(tmp_path) == expected


def test_every_damaged_byte_is_found_or_harmless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole directory, byte by byte: never silently fewer records, never other ones."""
    make_syncs_free(monkeypatch)
    source = tmp_path / "source"
    newest = lived(source)
    older = Recovered(
        10, digest(b"ten"), b"ten", [b"head of 1", b"r1", b"r2", b"n1", *newest.records]
    )
    path = copy(source, tmp_path / "copy")
    outcomes: dict[str, set[str]] = {}
    for file in sorted(source.iterdir()):
        good = file.read_bytes()
        kind = "newest" if "-0000000002" in file.name else "older"
        kind = f"{kind} {file.name.split('-')[0]}"
        for offset in range(len(good)):
            if kind == "older durable.mark" and offset % 4096 > 80:
                continue  # padding between the slots
            damaged = bytearray(good)
            damaged[offset] ^= 1 << offset % 8
            (path / file.name).unlink()
            (path / file.name).write_bytes(damaged)
            reports: list[str] = []
            disk = inline(path, reports)
            try:
                recovered = disk.recover()
                assert recovered in (newest, older), f"{file.name} byte {offset}"
                outcome = "newest" if recovered == newest else "older"
                assert outcome == "newest" or reports
            except Rot as error:
                outcome = "rot" if file.name in str(error) else "rot without a name"
            finally:
                disk.close()
            outcomes.setdefault(kind, set()).add(outcome)
            copy(source, path)
    assert outcomes["newest log"] == {"rot"}
    assert outcomes["newest snapshot"] == {"older"}
    assert outcomes["older log"] == {"newest"}
    assert outcomes["older snapshot"] == {"newest"}
    assert outcomes["older durable.mark"] == {"newest"}


def test_every_way_to_lose_the_end_of_the_newest_segment_is_rot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_syncs_free(monkeypatch)
    source = tmp_path / "source"
    lived(source)
    path = copy(source, tmp_path / "copy")
    newest = path / segment_name(list_segments(path)[-1])
    good = newest.read_bytes()
    for length in range(len(good)):
        newest.write_bytes(good[:length])
        with pytest.raises(Rot):
            read(path)
        newest.write_bytes(good[:length] + bytes(len(good) - length))
        with pytest.raises(Rot):
            read(path)
    newest.unlink()
    with pytest.raises(Rot):
        read(path)


def test_any_missing_segment_of_the_newest_generation_is_rot(tmp_path: Path) -> None:
    source = tmp_path / "source"
    lived(source)
    for place in list_segments(source):
        if place[0] == 2:
            path = copy(source, tmp_path / "copy")
            (path / segment_name(place)).unlink()
            with pytest.raises(Rot, match=r"missing|lost"):
                read(path)


def test_room_is_reserved_in_the_segment_that_is_written_and_given_back_behind_it(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log, "RESERVE_BYTES", 500)
        disk = inline(tmp_path, segment_bytes_max=2000, reserving=True)
        disk.recover()
        for _ in range(12):
            disk.append([bytes(300)], [])
        sizes = [(tmp_path / segment_name(place)).stat().st_size for place in list_segments(tmp_path)]
        full, current = sizes[0], sizes[-1]
        assert full <= 2000
        if sys.platform == "linux":
            assert (current - HEADER_BYTES - 500) % (300 + FRAME_BYTES) == 0
        disk.close()
    assert (full - HEADER_BYTES) % (300 + FRAME_BYTES) == 0
    end = (tmp_path / segment_name(list_segments(tmp_path)[-1])).stat().st_size
    assert (end - HEADER_BYTES) % (300 + FRAME_BYTES) == 0
    assert len(inline(tmp_path).recover().records) == 12


def test_unsynced_bytes_behind_the_log_are_cut_off_and_reported(tmp_path: Path) -> None:
    source = tmp_path / "source"
    expected = lived(source)
    for tail in (b"\0" * 49 + b"?", b"\xf1rec" + b"\1" * 90, b"?"):
        path = copy(source, tmp_path / "copy")
        newest = path / segment_name(list_segments(path)[-1])
        size = newest.stat().st_size
        with newest.open("ab") as file:
            file.write(tail)
        reports: list[str] = []
        assert read(path, reports) == expected
        assert len(reports) == 1
        assert f"byte {size}" in reports[0]
        assert f"{len(tail)} bytes" in reports[0]
        assert newest.stat().st_size == size


def test_a_segment_begun_at_the_crash_is_begun_again(tmp_path: Path) -> None:
    source = tmp_path / "source"
    expected = lived(source)
    generation, part = list_segments(source)[-1]
    for begun in (b"", b"OVLOG", bytes(HEADER_BYTES)):
        path = copy(source, tmp_path / "copy")
        (path / segment_name((generation, part + 1))).write_bytes(begun)
        assert read(path) == expected
        disk = inline(path)
        disk.recover()
        disk.append([b"more"], [])
        disk.close()
        assert read(path).records == [*expected.records, b"more"]


def test_both_snapshots_damaged_leaves_the_records(tmp_path: Path) -> None:
    newest = lived(tmp_path)
    for generation in (1, 2):
        path = tmp_path / snapshot_name(generation)
        path.write_bytes(path.read_bytes()[:-1])
    reports: list[str] = []
    disk = inline(tmp_path, reports)
    records = [b"head of 1", b"r1", b"r2", b"n1", *newest.records]
    assert disk.recover() == Recovered(0, b"", b"", records, newest.snapshot[:-1])
    assert len(reports) == 3
    disk.keep(30, digest(b"thirty"), b"thirty", [b"head of 3"])
    disk.close()
    assert read(tmp_path) == Recovered(30, digest(b"thirty"), b"thirty", [b"head of 3"])


def test_a_damaged_first_snapshot_falls_back_to_the_whole_history(tmp_path: Path) -> None:
    disk = inline(tmp_path)
    disk.recover()
    disk.append([b"a"], [])
    disk.keep(5, digest(b"five"), b"five", [b"head"])
    disk.append([b"b"], [])
    disk.close()
    (tmp_path / snapshot_name(1)).write_bytes(b"")
    assert read(tmp_path) == Recovered(0, b"", b"", [b"a", b"head", b"b"])


def test_a_lost_mark_file_costs_nothing(tmp_path: Path) -> None:
    expected = lived(tmp_path)
    (tmp_path / "durable.mark").unlink()
    reports: list[str] = []
    assert read(tmp_path, reports) == expected
    assert len(reports) == 1
    reports.clear()
    assert read(tmp_path, reports) == expected
    assert reports == []


def test_another_owner_is_a_mistake(tmp_path: Path) -> None:
    expected = lived(tmp_path)
    for cluster, replica, word in ((bytes(32), REPLICA, "another cluster"), (CLUSTER, 1, "replica 2, not 1")):
        for without_mark in (False, True):
            path = copy(tmp_path, tmp_path.with_name("copy"))
            if without_mark:
                (path / "durable.mark").unlink()
            disk = DirectoryDisk(path, cluster, replica)
            with pytest.raises(Mistake, match=word):
                disk.recover()
            assert read(path) == expected


def test_places_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(Mistake, match="parent"):
        read(tmp_path / "no" / "data")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Mistake, match="file"):
        read(tmp_path / "file")
    with pytest.raises(Mistake):
        read(tmp_path / "file" / "data")
    with pytest.raises(Mistake, match="post"):
        DirectoryDisk(tmp_path / "data", CLUSTER, REPLICA, sync="thread")
    with pytest.raises(Mistake, match="32 bytes"):
        DirectoryDisk(tmp_path / "data", b"short", REPLICA)


def test_one_disk_at_a_time(tmp_path: Path) -> None:
    first = inline(tmp_path)
    first.recover()
    with pytest.raises(Mistake, match="another replica runs"):
        inline(tmp_path).recover()
    with pytest.raises(Mistake, match="already recovered"):
        first.recover()
    first.append([b"still mine"], [])
    first.close()
    with pytest.raises(Mistake, match="not open"):
        first.append([b"late"], [])
    assert read(tmp_path).records == [b"still mine"]


def test_too_long_a_record_is_a_mistake_and_breaks_nothing(tmp_path: Path) -> None:
    disk = inline(tmp_path)
    disk.recover()
    longest = bytes(16 << 20)
    with pytest.raises(Mistake, match="batch limit"):
        disk.append([b"a", longest + b"x"], [])
    assert disk.append([longest], []) == 1
    with pytest.raises(Mistake, match="32 bytes"):
        disk.keep(1, b"short", b"", [])
    disk.close()
    assert read(tmp_path).records == [longest]


@pytest.mark.parametrize(
    ("sync_ns", "apart_ns", "at_once"),
    [(200_000, 500_000, True), (200_000, 100_000, False), (2_000_000, 9_000_000, False)],
    ids=["seldom", "often", "where a sync takes long"],
)
def test_what_comes_seldom_is_synced_before_append_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sync_ns: int, apart_ns: int, at_once: bool
) -> None:
    """And what comes often is left to the thread, as is everything where a sync takes long."""
    now = 0
    monkeypatch.setattr(directory, "perf_counter_ns", lambda: now)
    monkeypatch.setattr(DirectoryDisk, "_sync_takes_ns", lambda _disk: sync_ns)
    host = HostThread()
    disk = DirectoryDisk(tmp_path, CLUSTER, REPLICA, post=host.post)
    disk.recover()
    for number in (1, 2, 3):
        now += apart_ns
        assert disk.append([b"record"], []) == number
        assert (disk.durable == number) == at_once
        host.run_until(lambda: disk.durable == disk.append([], []))
    disk.close()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_failed_write_breaks_the_disk_for_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    disk = inline(tmp_path)
    disk.recover()
    disk.append([b"kept"], [])
    real = os.write

    def half(fd: int, data: bytes) -> int:
        if len(data) > 20:
            return real(fd, data[:20])
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "write", half)
    kind = BrokenStorage if code == errno.EIO else DiskFull
    with pytest.raises(kind, match=r"log-.*segment"):
        disk.append([b"never"], [])
    monkeypatch.undo()
    for _ in range(2):
        with pytest.raises(kind):
            disk.append([b"after"], [])
        with pytest.raises(kind):
            disk.append([], [b"a note"])
        with pytest.raises(kind):
            disk.keep(1, digest(b""), b"", [])
        with pytest.raises(kind):
            disk.check()
    assert disk.durable == 1
    disk.close()
    reports: list[str] = []
    assert read(tmp_path, reports).records == [b"kept"]
    assert len(reports) == 1


def test_a_failed_sync_is_never_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def fail(fd: int) -> None:
        calls.append(fd)
        raise OSError(errno.EIO, "gone")

    disk = inline(tmp_path)
    disk.recover()
    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(BrokenStorage, match="syncing failed"):
        disk.append([b"never promised"], [])
    for _ in range(3):
        with pytest.raises(BrokenStorage, match="syncing failed"):
            disk.append([b"x"], [])
    assert disk.durable == 0
    assert len(calls) == 1


def test_a_failed_sync_in_the_thread_reaches_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = HostThread()
    disk = DirectoryDisk(tmp_path, CLUSTER, REPLICA, sync="thread", post=host.post)
    disk.recover()
    told: list[int] = []
    disk.on_durable = lambda: told.append(disk.durable)
    disk.append([b"kept"], [])
    host.run_until(lambda: disk.durable == 1)
    disk.check()

    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fdatasync", fail)
    disk.append([b"never promised"], [])
    host.run_until(lambda: len(told) == 2)
    assert told == [1, 1]
    with pytest.raises(DiskFull, match=r"log-.*segment"):
        disk.check()
    with pytest.raises(DiskFull):
        disk.append([b"x"], [])
    monkeypatch.undo()
    disk.close()


def test_the_thread_covers_what_piled_up_and_stores_snapshots(tmp_path: Path) -> None:
    host = HostThread()
    disk = DirectoryDisk(tmp_path, CLUSTER, REPLICA, sync="thread", post=host.post, segment_bytes_max=2000)
    assert not disk.recover().records
    assert not disk.syncs_inline
    seen: list[int] = []
    disk.on_durable = lambda: seen.append(disk.durable)
    big = random.Random(1).randbytes(9 << 20)
    expected: list[bytes] = []
    for number in range(1, 301):
        assert disk.append([b"record %d" % number], [b"note"]) == number
        assert disk.durable < number, "nothing is durable before the host's thread has heard of it"
        expected += [b"record %d" % number, b"note"]
        if number % 100 == 0:
            disk.keep(number, digest(big), big, [b"head %d" % number])
            expected = [b"head %d" % number]
    host.run_until(lambda: disk.durable == 300)
    assert seen == sorted(set(seen))
    disk.append([], [b"last note"])
    disk.close()
    assert read(tmp_path) == Recovered(300, digest(big), big, [*expected, b"last note"])


def test_the_thread_promises_only_what_a_finished_sync_covers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = HostThread()
    disk = DirectoryDisk(tmp_path, CLUSTER, REPLICA, sync="thread", post=host.post)
    disk.recover()
    begun, gate = queue.Queue[int](), threading.Semaphore(0)
    real = os.fdatasync

    def slowly(fd: int) -> None:
        begun.put(fd)
        gate.acquire()
        real(fd)

    seen: list[int] = []
    disk.on_durable = lambda: seen.append(disk.durable)
    monkeypatch.setattr(os, "fdatasync", slowly)
    disk.append([b"1"], [])
    begun.get(timeout=30)
    for body in (b"2", b"3"):
        disk.append([body], [])
    assert disk.durable == 0
    gate.release()
    begun.get(timeout=30)
    host.run_until(lambda: disk.durable > 0)
    assert disk.durable == 1, "what was written during a sync waits for the next"
    gate.release()
    host.run_until(lambda: disk.durable == 3)
    assert seen == [1, 3]
    monkeypatch.undo()
    disk.close()


def test_closing_makes_the_rest_durable(tmp_path: Path) -> None:
    disk = DirectoryDisk(tmp_path, CLUSTER, REPLICA, sync="thread", post=HostThread().post)
    disk.recover()
    for number in range(50):
        disk.append([b"%d" % number], [])
    disk.keep(1, digest(b"s"), b"s", [])
    disk.close()
    assert disk.durable == 50
    disk.close()
    assert read(tmp_path) == Recovered(1, digest(b"s"), b"s", [])


@pytest.mark.parametrize("posts", [False, True])
def test_auto_settles_on_one(tmp_path: Path, posts: bool) -> None:
    host = HostThread()
    disk = DirectoryDisk(tmp_path, CLUSTER, REPLICA, post=host.post if posts else None)
    disk.recover()
    ticket = disk.append([b"a"], [])
    if disk.syncs_inline:
        assert disk.durable == ticket
    else:
        assert posts
        host.run_until(lambda: disk.durable == ticket)
    disk.close()
    assert read(tmp_path).records == [b"a"]


Step = tuple[str, list[bytes], list[bytes]]
_BODIES = st.lists(st.binary(max_size=50), max_size=3)
_STEPS = st.lists(st.tuples(st.sampled_from(["append", "append", "keep", "restart"]), _BODIES, _BODIES), max_size=12)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_STEPS, threaded=st.booleans(), number=st.integers(0, 1 << 60))
def test_a_directory_behaves_as_memory_does(tmp_path: Path, steps: list[Step], threaded: bool, number: int) -> None:
    path = tmp_path / f"{number}-{threaded}-{len(list(tmp_path.iterdir()))}"

    def fresh() -> DirectoryDisk:
        return DirectoryDisk(
            path, CLUSTER, REPLICA, sync="thread" if threaded else "inline", post=HostThread().post,
            segment_bytes_max=400,
        )

    model, disk = MemoryDisk(), fresh()
    assert disk.recover() == model.recover()
    for position, (what, records, notes) in enumerate(steps, 1):
        if what == "append":
            assert disk.append(records, notes) == model.append(records, notes)
        elif what == "keep":
            for either in (disk, model):
                either.keep(position, digest(b"s"), b"state" * position, records)
        else:
            for either in (disk, model):
                either.close()
            model.reopen()
            disk = fresh()
            assert disk.recover() == model.recover()
    disk.close()
    disk = fresh()
    assert disk.recover() == model.recover()
    disk.close()


def test_arbitrary_files_never_end_in_a_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random bytes, and random changes to a good directory: recovered, or one of our three errors."""
    make_syncs_free(monkeypatch)
    source = tmp_path / "source"
    lived(source)
    names = sorted(entry.name for entry in source.iterdir())
    chance = random.Random(3)
    refused = 0
    for _ in range(300):
        path = copy(source, tmp_path / "copy")
        for name in chance.sample(names, chance.randrange(1, 4)):
            data = bytearray((source / name).read_bytes())
            action = chance.randrange(5)
            if action == 0:
                data = bytearray(chance.randbytes(chance.randrange(500)))
            elif action == 1:
                data = data[: chance.randrange(len(data) + 1)]
            elif action == 2 and data:
                at = chance.randrange(len(data))
                data[at : at + chance.randrange(40)] = chance.randbytes(chance.randrange(40))
            elif action == 3:
                data = bytearray((source / chance.choice(names)).read_bytes())
            else:
                (path / name).unlink()
                continue
            (path / name).write_bytes(data)
        disk = inline(path)
        try:
            disk.recover()
            disk.append([b"goes on"], [])
        except (BrokenStorage, Mistake):
            refused += 1
        finally:
            disk.close()
    assert 0 < refused < 300


def test_random_segments_without_a_mark_are_refused(tmp_path: Path) -> None:
    chance = random.Random(4)
    for number in range(100):
        path = tmp_path / str(number)
        path.mkdir()
        for part in range(chance.randrange(1, 3)):
            (path / segment_name((0, part))).write_bytes(chance.randbytes(chance.randrange(1, 400)))
        with pytest.raises(Rot):
            read(path)
