"""Power fails before each system call in turn, during recovery too: what was durable is always there."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from directories import digest, inline
from fragile_directory import FragileDirectory, PowerFailure

from outvote.storage import log
from outvote.storage.contract import Recovered
from outvote.storage.directory import DirectoryDisk


class Promise:
    """What must come back: `records` in order, of which `durable` at least; before a `keep` has returned, the
    state before it is as good as the state after it."""

    def __init__(self) -> None:
        self.position, self.state = 0, b""
        self.records: list[bytes] = []
        self.durable = 0
        self.kept: Promise | None = None

    def check(self, found: Recovered) -> None:
        if self.kept is not None and found.position == self.kept.position:
            self.kept.check(found)
            return
        assert (found.position, found.snapshot) == (self.position, self.state)
        assert found.digest == (digest(self.state) if self.position else b"")
        assert found.records == self.records[: len(found.records)]
        assert self.durable <= len(found.records)


class Life:
    """Recover, write for a while, lose the power."""

    def __init__(self, path: Path, promise: Promise, seed: int) -> None:
        self.path = path
        self.promise = promise
        self.chance = random.Random(seed)
        self.reserving = seed % 2 == 1  # lives take turns on one directory
        self.failed = False

    def run(self, fail_at: int | None, target: Path) -> None:
        """`target` is filled with what is left. What an earlier failure left on the drive is durable."""
        fragile = FragileDirectory(self.path)
        fragile.adopt()
        self.run_until_killed(fail_at, fragile)
        fragile.after_power_failure(target, self.chance)
        fragile.let_go()

    def run_until_killed(self, fail_at: int | None, fragile: FragileDirectory) -> None:
        """Only the process ends: what it wrote can still be read, and is still not durable."""
        reports: list[str] = []
        disk = inline(self.path, reports, segment_bytes_max=400, reserving=self.reserving)
        with pytest.MonkeyPatch.context() as patch:
            fragile.watch(patch)
            patch.setattr(log, "RESERVE_BYTES", 300)
            fragile.calls, fragile.fail_at = 0, fail_at
            try:
                self._begin(disk.recover())
                self._write(disk)
            except PowerFailure:
                self.failed = True
        assert all("cut off" in report for report in reports), reports
        disk._release()

    def _begin(self, found: Recovered) -> None:
        self.promise.check(found)
        self.promise = Promise()
        self.promise.position, self.promise.state = found.position, found.snapshot
        self.promise.records = list(found.records)
        self.promise.durable = len(found.records)

    def _write(self, disk: DirectoryDisk) -> None:
        for number in range(1, 16):
            fate = self.chance.random()
            body = b"%d " % number * self.chance.randrange(1, 30)
            promise = self.promise
            if fate < 0.25:
                kept = promise.kept = Promise()
                kept.position, kept.state = promise.position + number, b"state " + body
                kept.records, kept.durable = [b"head " + body], 1
                promise.records += kept.records
                disk.keep(kept.position, digest(kept.state), kept.state, kept.records)
                self.promise = kept
            elif fate < 0.6:
                promise.records.append(body)
                disk.append([], [body])
            else:
                promise.records += [body, b"note"]
                disk.append([body], [b"note"])
                promise.durable = len(promise.records)


@pytest.mark.parametrize("seed", range(2))
def test_power_fails_before_every_call(tmp_path: Path, seed: int) -> None:
    fail_at, failed = 0, True
    while failed:
        places = [tmp_path / f"{fail_at}.{number}" for number in range(4)]
        places[0].mkdir()
        first = Life(places[0], Promise(), seed * 1000 + fail_at)
        first.run(fail_at, places[1])
        failed = first.failed
        # Power fails again, soon: often during recovery.
        second = Life(places[1], first.promise, seed * 1000 + fail_at + 1)
        second.run(first.chance.randrange(40), places[2])
        Life(places[2], second.promise, 0).run(None, places[3])
        fail_at += 1
    assert fail_at > 60


def test_what_a_killed_process_left_is_made_durable_before_it_is_believed(tmp_path: Path) -> None:
    """Killed, recovered from the operating system's cache, and only then the power fails."""
    for seed in range(60):
        path = tmp_path / f"{seed}"
        path.mkdir()
        fragile = FragileDirectory(path)
        killed = Life(path, Promise(), seed)
        killed.run_until_killed(seed * 2, fragile)
        second = Life(path, killed.promise, seed + 1)
        second.run_until_killed(killed.chance.randrange(45), fragile)
        fragile.after_power_failure(tmp_path / f"{seed}.1", second.chance)
        fragile.let_go()
        Life(tmp_path / f"{seed}.1", second.promise, 0).run(None, tmp_path / f"{seed}.2")
