"""Jobs of a core, beside its turn: between passes of the loop, a few at a time, or in a process of their own.

Between passes jobs hold up the loop for some milliseconds, a pairing or a few, and not longer: what came in meanwhile
is handled before the next ones. Answers come together as far as that time allows, since each turn costs writes to all
others. A worker process holds up nothing and uses another processor core; a
thread would not do, since the library keeps the interpreter's lock. The worker has the same keys from the same files,
hears jobs on its standard input and answers on its standard output, each as four bytes of length and MessagePack. When
it ends, whatever the reason, its jobs are done between passes.

Bounded: a core hands out a job once, and for the epochs that it works on only.
"""

from __future__ import annotations

import asyncio
import os
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from outvote.core.contract import Core, Job, Struct
from outvote.types import MILLISECOND, Nanos

LENGTH_BYTES: Final = 4
READ_BYTES: Final = 1 << 16
FRAME_BYTES_MAX: Final = 8 * 1024 * 1024  # a ciphertext and shares of it; between our own processes
ENDING_S: Final = 2.0
TOGETHER_NS: Final[Nanos] = 5 * MILLISECOND  # after so long answers are given, though more jobs wait

Done = Callable[[int, bytes], None]


class Answer(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """What a worker says of a job."""

    ticket: int
    answer: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode_job = msgspec.msgpack.Decoder(Job).decode
_decode_answer = msgspec.msgpack.Decoder(Answer).decode


class BetweenPasses:
    """Some jobs a pass of the event loop. Needs a running loop."""

    def __init__(self, core: Core, done: Done) -> None:
        self._core = core
        self._done = done
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Job] = deque()

    def begin(self, job: Job) -> None:
        self._waiting.append(job)
        if len(self._waiting) == 1:
            self._loop.call_soon(self._do)

    def _do(self) -> None:
        enough = time.monotonic_ns() + TOGETHER_NS
        while True:
            job = self._waiting[0]
            self._done(job.ticket, self._core.compute(job))
            self._waiting.popleft()
            if not self._waiting or time.monotonic_ns() >= enough:
                break
        if self._waiting:
            self._loop.call_soon(self._do)


class Worker:
    """A process for the jobs of one core. `program`: its command line. Needs a running loop. Until it is `ready`, which
    may take seconds on a busy machine, jobs are done between passes."""

    def __init__(self, program: Sequence[str], core: Core, done: Done, say: Callable[[str], None]) -> None:
        self._program = program
        self._here = BetweenPasses(core, done)
        self._done = done
        self._say = say
        self.ready = asyncio.Event()
        self._process: Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._under_way: dict[int, Job] = {}

    async def start(self) -> None:
        """Until it has, and if it cannot, jobs are done between passes."""
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._program, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, start_new_session=True
            )
        except OSError as error:
            self._say(f"no process for jobs could be started ({error}): they are done in this one")
            return
        self._reading = asyncio.create_task(self._read(self._process))

    async def stop(self) -> None:
        """It ends when its input does."""
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), ENDING_S)
            except TimeoutError:
                _kill(process)
        if self._reading is not None:
            await self._reading

    def begin(self, job: Job) -> None:
        if self._process is None or self._process.stdin is None or not self.ready.is_set():
            self._here.begin(job)
            return
        self._under_way[job.ticket] = job
        self._process.stdin.write(_frame(job))

    async def _read(self, process: Process) -> None:
        assert process.stdout is not None
        try:
            while True:
                size = int.from_bytes(await process.stdout.readexactly(LENGTH_BYTES), "big")
                if size > FRAME_BYTES_MAX:
                    break
                one = _decode_answer(await process.stdout.readexactly(size))
                self.ready.set()
                if self._under_way.pop(one.ticket, None) is not None:
                    self._done(one.ticket, one.answer)
        except (asyncio.IncompleteReadError, ConnectionError, msgspec.DecodeError):
            pass
        if self._process is not None:
            self._process = None
            self._say("the process for jobs has ended: they are done in this one from now on")
            jobs, self._under_way = self._under_way, {}
            for job in jobs.values():
                self._here.begin(job)
        _kill(process)
        await process.stdout.read()  # to its end: what it had still to say is of no use
        await process.wait()


def _kill(process: Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    with suppress(ProcessLookupError):
        process.kill()


def work(compute: Callable[[Job], bytes], source: int, sink: int) -> None:
    """The worker's side, on file descriptors: until its input ends. `compute`: a core's."""
    _write(sink, bytearray(_frame(Answer(0, b""))))  # ready
    unread = bytearray()
    while chunk := os.read(source, READ_BYTES):
        unread += chunk
        answers = bytearray()
        enough = time.monotonic_ns() + TOGETHER_NS
        while (job := _next_job(unread)) is not None:
            answers += _frame(Answer(job.ticket, compute(job)))
            if time.monotonic_ns() >= enough:
                _write(sink, answers)
                enough = time.monotonic_ns() + TOGETHER_NS
        _write(sink, answers)


def _next_job(unread: bytearray) -> Job | None:
    """Cut off the first that is there whole."""
    end = LENGTH_BYTES + int.from_bytes(unread[:LENGTH_BYTES], "big")
    if len(unread) < LENGTH_BYTES or len(unread) < end:
        return None
    job = _decode_job(unread[LENGTH_BYTES:end])
    del unread[:end]
    return job


def _write(sink: int, answers: bytearray) -> None:
    while answers:
        del answers[: os.write(sink, answers)]


def _frame(value: msgspec.Struct) -> bytes:
    body = _encode(value)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body
