"""Jobs beside the turn: one a pass of the loop, or in a process, and what becomes of them when that ends."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import msgspec
import pytest

from outvote.core.committee import Committee
from outvote.core.contract import Core, Job
from outvote.host import jobs as jobs_beside
from outvote.host.inline import InlineCluster
from outvote.host.jobs import BetweenPasses, Worker
from outvote.machines.key_value import KeyValueStore
from outvote.protocols.catalogue import HONEYBADGER

# A core of which only `compute` is asked; it ends when it is told to, as a worker that is killed does.
PROGRAM: Final = """
import os
from outvote.host.jobs import work
class Core:
    def compute(self, job):
        if job.work == "end":
            os._exit(1)
        if job.work == "babble":
            os.write(1, b"\\xff" * 100)
        return job.parts[0][::-1]
work(Core().compute, 0, 1)
"""


class Computing:
    def compute(self, job: Job) -> bytes:
        return b"here " + job.parts[0]


CORE: Final = cast("Core", Computing())


def job(ticket: int, work: str = "reverse") -> Job:
    return Job(ticket, work, (b"ab%d" % ticket,))


def test_jobs_are_done_in_order_and_let_the_loop_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a job that takes longer than jobs may together, one a pass."""
    monkeypatch.setattr(jobs_beside, "TOGETHER_NS", 0)
    done: list[tuple[int, bytes]] = []
    seen: list[int] = []

    async def main() -> None:
        jobs = BetweenPasses(CORE, lambda ticket, answer: done.append((ticket, answer)))
        for ticket in (1, 2, 3):
            jobs.begin(job(ticket))
        assert done == []
        while len(done) < 3:
            await asyncio.sleep(0)
            seen.append(len(done))

    asyncio.run(main())
    assert done == [(one, b"here ab%d" % one) for one in (1, 2, 3)]
    assert seen == sorted(set(seen)), "no pass does two"


def with_worker(
    program: Sequence[str], act: Callable[[Worker, Callable[[int], Any]], Any]
) -> tuple[dict[int, bytes], list[str]]:
    """The answers by ticket, and what was said."""
    done: dict[int, bytes] = {}
    said: list[str] = []

    async def main() -> None:
        came = asyncio.Event()

        def take(ticket: int, answer: bytes) -> None:
            done[ticket] = answer
            came.set()

        worker = Worker(program, CORE, take, said.append)

        async def answers(count: int) -> None:
            async with asyncio.timeout(60):
                while len(done) < count:
                    came.clear()
                    await came.wait()

        await worker.start()
        try:
            await act(worker, answers)
        finally:
            await worker.stop()

    asyncio.run(main())
    return done, said


@pytest.mark.processes
def test_a_process_answers() -> None:
    async def act(worker: Worker, answers: Callable[[int], Any]) -> None:
        await worker.ready.wait()
        for ticket in range(50):
            worker.begin(job(ticket))
        await answers(50)

    done, said = with_worker((sys.executable, "-c", PROGRAM), act)
    assert done == {ticket: (b"ab%d" % ticket)[::-1] for ticket in range(50)}
    assert said == []


@pytest.mark.processes
@pytest.mark.parametrize("last", ["end", "babble"])
def test_when_it_ends_its_jobs_are_done_here(last: str) -> None:
    async def act(worker: Worker, answers: Callable[[int], Any]) -> None:
        await worker.ready.wait()
        worker.begin(job(1))
        await answers(1)
        worker.begin(job(2, last))
        worker.begin(job(3))
        await answers(3)
        worker.begin(job(4))
        await answers(4)

    done, said = with_worker((sys.executable, "-c", PROGRAM), act)
    assert done[1] == b"1ba"
    assert [done[ticket] for ticket in (2, 3, 4)] == [b"here ab%d" % ticket for ticket in (2, 3, 4)]
    assert said == ["the process for jobs has ended: they are done in this one from now on"]


@pytest.mark.processes
def test_before_it_is_ready_jobs_are_done_here() -> None:
    async def act(worker: Worker, answers: Callable[[int], Any]) -> None:
        worker.begin(job(1))
        await answers(1)
        await worker.ready.wait()
        worker.begin(job(2))
        await answers(2)

    done, said = with_worker((sys.executable, "-c", PROGRAM), act)
    assert done == {1: b"here ab1", 2: b"2ba"}
    assert said == []


@pytest.mark.processes
def test_it_ends_with_its_input() -> None:
    """So it does not outlive a replica that is killed."""
    ended = subprocess.run([sys.executable, "-c", PROGRAM], input=b"", capture_output=True, check=True, timeout=60)
    assert ended.stdout[4:] == msgspec.msgpack.encode(jobs_beside.Answer(0, b""))


@pytest.mark.processes
def test_a_program_that_does_not_exist_is_told() -> None:
    async def act(worker: Worker, answers: Callable[[int], Any]) -> None:
        worker.begin(job(1))
        await answers(1)

    done, said = with_worker(("/no/such/program",), act)
    assert done == {1: b"here ab1"}
    assert said[0].startswith("no process for jobs could be started")


@pytest.mark.parametrize("deferred", [0, 1])
def test_without_a_place_for_them_jobs_are_done_within_the_turn(deferred: int) -> None:
    cluster = InlineCluster(
        KeyValueStore, lambda me: HONEYBADGER.make(me, Committee(4), {"deferred": deferred}),
        HONEYBADGER.messages, HONEYBADGER.records,
    )
    assert cluster.call("put", "a", "1") == 1
    assert cast("Any", cluster.call("get", "a")).value == "1"
