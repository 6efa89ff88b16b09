"""`outvote up`: a whole cluster on this machine, its replicas as processes that are started again when they die.

Invariant: no replica outlives its supervisor: each ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from outvote.cli import endings
from outvote.cli.cautions import CRASHES_ONLY, PLAIN_WARNING
from outvote.cli.cluster import (
    DEFAULT_MACHINE,
    create,
    default_replicas,
    promise,
)
from outvote.cli.recovery_note import remove_note
from outvote.cli.rejuvenate import RECOVERY_BOUND_S, Rejuvenator, check_times, new_note
from outvote.cli.status import Inquiry, Overview, led
from outvote.configuration.files import CLUSTER_FILE, clients_present, load_genesis
from outvote.configuration.genesis import Genesis
from outvote.configuration.machine_class import load_machine
from outvote.core.contract import NOBODY
from outvote.core.rejuvenation import Schedule
from outvote.errors import Mistake
from outvote.storage.files import lock
from outvote.types import ReplicaId

BACKOFF_FIRST_S: Final = 0.2
BACKOFF_MAX_S: Final = 15.0
STEADY_S: Final = 30.0  # a replica that lived this long starts with the first back-off again
RESTARTS_MAX: Final = (
    20  # of one replica in RESTARTS_WITHIN_S: then something is wrong that restarts do not mend
)
RESTARTS_WITHIN_S: Final = 600.0
HOPELESS_TRIES: Final = 3  # in a row, ended by a mistake or by broken storage: a port may yet become free
STATUS_EVERY_S: Final = 3.0
_STOP_WITHIN_S: Final = 5.0
_LINE_BYTES_MAX: Final = 1 << 16
_LAST_LINES: Final = 3

_FIRST_PORT: Final = 7000
_PORT_STEP: Final = 100
_LAST_PORT: Final = 60_000


def up(
    directory: Path, replicas: int | None, machine: str | None, form: str | None = None, channel: str | None = None,
    rejuvenate_s: float | None = None, recovery_bound_s: float | None = None, protocol: str | None = None,
    threshold_keys: str | None = None,
) -> int:
    """Create the cluster if there is none, run it until Ctrl-C or SIGTERM. Raises Mistake."""
    if rejuvenate_s is None and recovery_bound_s is not None:
        raise Mistake("--recovery-bound says how long a rejuvenation may take: give --rejuvenate as well")
    bound_s = RECOVERY_BOUND_S if recovery_bound_s is None else recovery_bound_s
    if rejuvenate_s is not None:  # before anything is created
        check_times(default_replicas(protocol or "pbft") if replicas is None else replicas, rejuvenate_s, bound_s)
    existing = (directory / CLUSTER_FILE).exists()
    make = _existing if existing else _fresh
    genesis = make(directory, replicas, machine, form, channel, protocol, threshold_keys)
    if genesis.tolerates == "crashes":
        print(CRASHES_ONLY, file=sys.stderr)
    if genesis.channel == "plain":
        print(PLAIN_WARNING, file=sys.stderr)
    descriptor = _only_one(directory)
    try:
        chosen = None if rejuvenate_s is None else check_times(genesis.n, rejuvenate_s, bound_s)
        if chosen is not None and not clients_present(directory, genesis):
            raise Mistake("--rejuvenate asks the replicas how they stand, as a client: put a client's keys here")
        remove_note(directory)
        return asyncio.run(_Supervisor(directory, genesis, existing, chosen, bound_s).run())
    finally:
        os.close(descriptor)


def _existing(
    directory: Path, replicas: int | None, machine: str | None, form: str | None, channel: str | None,
    protocol: str | None, threshold_keys: str | None,
) -> Genesis:
    genesis = load_genesis(directory)
    advice = "leave the option away, or name another directory"
    if replicas is not None and replicas != genesis.n:
        raise Mistake(f"the cluster in {directory} has {genesis.n} replicas, not {replicas}: {advice}")
    if machine is not None and machine != genesis.machine:
        raise Mistake(f"the cluster in {directory} replicates {genesis.machine}, not {machine}: {advice}")
    for name, wanted, there in (
        ("form", form, genesis.form), ("channel", channel, genesis.channel), ("protocol", protocol, genesis.protocol),
    ):
        if wanted is not None and wanted != there:
            raise Mistake(f'the cluster in {directory} has {name} = "{there}", not "{wanted}": {advice}')
    if threshold_keys is not None:
        raise Mistake(f"the cluster in {directory} has been made already: {advice}")
    load_machine(genesis.machine)
    return genesis


def _fresh(
    directory: Path, replicas: int | None, machine: str | None, form: str | None, channel: str | None,
    protocol: str | None, threshold_keys: str | None,
) -> Genesis:
    protocol = protocol or "pbft"
    count = default_replicas(protocol, form or "signatures") if replicas is None else replicas
    hosts = [f"127.0.0.1:{port}" for port in _free_ports(count)]
    return create(
        directory, machine=machine or DEFAULT_MACHINE, replicas=count, hosts=hosts,
        form=form or "signatures", channel=channel or "tls", protocol=protocol,
        threshold_keys=threshold_keys,
    )


def _free_ports(count: int) -> range:
    """Neighbours, so that people can remember them."""
    for first in range(_FIRST_PORT, _LAST_PORT, _PORT_STEP):
        ports = range(first, first + count)
        if all(_is_free(port) for port in ports):
            return ports
    raise Mistake(f"there are no {count} free ports side by side on 127.0.0.1: stop some programs")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        if sys.platform != "win32":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _only_one(directory: Path) -> int:
    try:
        return lock(directory / "up.lock")
    except Mistake:
        raise Mistake(f"another outvote up runs the cluster in {directory}: stop it first") from None


class _Screen:
    """Lines for people; on a terminal, one line at the bottom that is written over."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._bottom = ""

    def say(self, text: str) -> None:
        if self._terminal and self._bottom:
            print(f"\r\x1b[K{text}\n{self._bottom}", end="", flush=True)
        else:
            print(text, flush=True)

    def standing(self, text: str) -> None:
        """The newest state of things; elsewhere than on a terminal only when it is another one."""
        if text == self._bottom:
            return
        self._bottom = text
        print(f"\r\x1b[K{text}" if self._terminal else text, end="" if self._terminal else "\n", flush=True)

    def end(self) -> None:
        if self._terminal and self._bottom:
            print(flush=True)
            self._bottom = ""


class _Keeper:
    """One replica: starts its process, and again when it dies, with growing pauses."""

    def __init__(self, directory: Path, replica: ReplicaId, say: Callable[[str], None]) -> None:
        self.replica = replica
        self.code: int | None = None  # why it was given up
        self._directory = directory
        self._say = say
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._renewing = False
        self._lines: deque[str] = deque(maxlen=_LAST_LINES)

    async def keep(self) -> None:
        """Until stopped or given up."""
        backoff, hopeless = BACKOFF_FIRST_S, 0
        deaths: deque[float] = deque(maxlen=RESTARTS_MAX)
        while not self._stopping:
            began = time.monotonic()
            code = await self._once()
            if self._stopping:
                return
            if self._renewing:
                self._renewing = False
                backoff, hopeless = BACKOFF_FIRST_S, 0
                continue
            now = time.monotonic()
            if now - began > STEADY_S:
                backoff, hopeless = BACKOFF_FIRST_S, 0
            hopeless = hopeless + 1 if code in (endings.MISTAKE, endings.BROKEN_STORAGE) else 0
            often = len(deaths) == RESTARTS_MAX and now - deaths[0] < RESTARTS_WITHIN_S
            deaths.append(now)
            if hopeless >= HOPELESS_TRIES or often:
                self.code = code
                why = "this will not mend itself" if hopeless else f"{RESTARTS_MAX} restarts did not help"
                self._say(f"replica {self.replica} stays down: {why} (exit code {code})")
                return
            self._say(f"replica {self.replica} ended ({_ended(code)}): starting it again in {backoff:g} s")
            await asyncio.sleep(backoff)
            backoff = min(2 * backoff, BACKOFF_MAX_S)

    async def stop(self) -> None:
        self._stopping = True
        await self._end()

    async def renew(self) -> None:
        """End the process, whatever it wants; `keep` starts a clean one at once."""
        if self._process is not None and self._process.returncode is None:
            self._renewing = True
            await self._end()

    async def _end(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(_STOP_WITHIN_S):
                await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _once(self) -> int:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "outvote", "run", str(self._directory), "--replica", str(self.replica),
            "--supervised", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE, start_new_session=True, limit=_LINE_BYTES_MAX,
        )  # fmt: skip
        self._process = process  # its input stays open as long as we live
        assert process.stderr is not None
        while True:
            try:
                line = await process.stderr.readline()
            except ValueError:  # a line beyond the limit; its rest follows
                continue
            if not line:
                return await process.wait()
            if not self._stopping:
                self._say(line.decode(errors="replace").rstrip())


def _ended(code: int) -> str:
    if code < 0:
        with suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code}"


class _Supervisor:
    def __init__(
        self, directory: Path, genesis: Genesis, existing: bool, chosen: Schedule | None, bound_s: float
    ) -> None:
        self._directory = directory
        self._genesis = genesis
        self._existing = existing
        self._screen = _Screen()
        self._keepers = [_Keeper(directory, number, self._screen.say) for number in range(genesis.n)]
        self._chosen = chosen  # who is rejuvenated when; None: nobody
        self._bound_s = bound_s

    async def run(self) -> int:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT, *((signal.SIGHUP,) if sys.platform != "win32" else ())):
            with suppress(NotImplementedError):  # Windows: KeyboardInterrupt cancels this instead
                loop.add_signal_handler(name, stop.set)
        self._greet()
        keeping = [loop.create_task(keeper.keep()) for keeper in self._keepers]
        watching = loop.create_task(self._watch())
        rejuvenating = loop.create_task(self._rejuvenate())
        stopping = loop.create_task(stop.wait())
        all_down = asyncio.gather(*keeping)
        try:
            await asyncio.wait((stopping, all_down), return_when=asyncio.FIRST_COMPLETED)
        finally:
            watching.cancel()
            rejuvenating.cancel()
            stopping.cancel()
            await asyncio.gather(*(keeper.stop() for keeper in self._keepers))
            for task in keeping:
                task.cancel()
            await asyncio.gather(watching, rejuvenating, stopping, all_down, *keeping, return_exceptions=True)
            self._screen.end()
        if not stop.is_set():
            all_down.result()  # raises what kept the processes from being started at all
            endings.complain(
                "no replica runs any more: mend what they complain about, then run outvote up again"
            )
            return next((keeper.code for keeper in self._keepers if keeper.code), endings.DEFECT)
        self._screen.say(f"stopped; the data stay in {self._directory}, and outvote up goes on from there")
        return endings.DONE

    def _greet(self) -> None:
        genesis, where = self._genesis, shlex.quote(str(self._directory))
        say = self._screen.say
        addresses = [f"{replica.host}:{replica.port}" for replica in genesis.replicas]
        verb = "goes on" if self._existing else "begins"
        span = " to ".join(dict.fromkeys((addresses[0], addresses[-1])))
        say(f"cluster {genesis.name} {verb}: {promise(genesis)}; {span}; keys and data in {self._directory}")
        if self._chosen is not None:
            note = new_note(genesis, self._chosen, self._bound_s)
            say(note.greeting())
            say(note.window())
        say("in another terminal:")
        option = "" if str(self._directory) == "outvote-cluster" else f" --cluster {where}"
        commands = ["put greeting hello", "get greeting"] if genesis.machine == DEFAULT_MACHINE else ["call"]
        for command in (*commands, "status"):
            say(f"  outvote {command}{option}")
        say("Ctrl-C stops it")

    async def _rejuvenate(self) -> None:
        if self._chosen is None:
            return
        renew = [keeper.renew for keeper in self._keepers]
        try:
            await Rejuvenator(
                self._directory, self._genesis, self._chosen, self._bound_s, renew, self._screen.say
            ).run()
        except Mistake as mistake:
            self._screen.say(f"nobody is rejuvenated any more: {mistake}")

    async def _watch(self) -> None:
        if not clients_present(self._directory, self._genesis):
            return  # nobody to ask as
        inquiry = Inquiry(self._directory, None)
        try:
            while True:
                await asyncio.sleep(STATUS_EVERY_S)
                self._screen.standing(_in_short(await inquiry.overview(1.0)))
        finally:
            await inquiry.close()


def _in_short(overview: Overview) -> str:
    reports = [report for report in overview.reports if report is not None]
    words = [overview.verdict()]
    if reports:
        ahead = max(reports, key=lambda report: (report.standing.position, report.standing.view))
        stands = ahead.standing
        view = "" if stands.leader == NOBODY else f"view {stands.view}, {led(ahead)[0]} {stands.leader}, "
        words.append(f"{view}position {stands.position}")
    words += overview.disagreements()[:1]
    return "; ".join(words)
