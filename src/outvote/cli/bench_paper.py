"""`outvote bench pbft-paper`: the micro-benchmarks of Castro and Liskov (OSDI 1999, table 1), as ratios beside theirs.

Four replica processes on this machine, one client in this one, null operations with arguments and results of 0 or
4 KiB, one at a time. Unreplicated is the same class served by one process over the same kind of connection: a query to
a cluster of one, which is answered as it arrives, neither signed nor ordered nor logged.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import msgspec

from outvote.cli import endings
from outvote.cli.bench_costs import ComputingCosts, measure_computing, with_messages
from outvote.cli.bench_null import NullService
from outvote.cli.demo_cluster import DemoCluster, free_ports
from outvote.cli.serve import run_loop
from outvote.client.aio import Answer, Client
from outvote.configuration.files import create_cluster
from outvote.configuration.genesis import FORMS, ChannelKind, Form, Parameters, channel_named, form_named
from outvote.errors import Mistake
from outvote.machines.interface import CommandInterface
from outvote.protocols.pbft.performance_model import (
    Costs,
    Deployment,
    Operation,
    error_percent,
    ordered,
    read_only,
    throughput_per_s,
)

N: Final = 4
OUTSTANDING: Final = 64
WARM_UP: Final = 30  # operations before the first that counts
OPERATIONS_MAX: Final = 100_000
SECONDS_MAX: Final = 600.0
_KIB: Final = 1024
SIZES: Final = {"0/0": (0, 0), "4/0": (4 * _KIB, 0), "0/4": (0, 4 * _KIB)}
# Milliseconds: read-write, read-only, unreplicated.
PAPER_MS: Final = {"0/0": (3.35, 1.62, 0.82), "4/0": (14.19, 6.98, 4.62), "0/4": (8.01, 5.94, 4.66)}
KINDS: Final = ("read-write", "read-only", "unreplicated")
BATCHINGS: Final = ("off", "on")


class Figure(NamedTuple):
    """What was measured, and what the model says: milliseconds, or operations a second."""

    measured: float
    predicted: float

    @property
    def error_percent(self) -> float:
        return error_percent(self.predicted, self.measured)

    def as_json(self) -> dict[str, float]:
        return {**self._asdict(), "error_percent": self.error_percent}


class FormResult(NamedTuple):
    """Everything about one form."""

    form: Form
    costs: Costs
    latency_ms: dict[tuple[str, str], Figure]  # by size and kind
    throughput_per_s: dict[str, Figure]  # by BATCHINGS

    def ratio(self, size: str, kind: str) -> Figure:
        """To the unreplicated service."""
        mine, alone = self.latency_ms[size, kind], self.latency_ms[size, "unreplicated"]
        return Figure(mine.measured / alone.measured, mine.predicted / alone.predicted)

    def as_json(self) -> dict[str, Any]:
        latencies = [
            {
                "size": size,
                "kind": kind,
                "latency_ms": figure.as_json(),
                "ratio": self.ratio(size, kind).as_json(),
                "ratio_of_the_paper": paper_ratio(size, kind),
            }
            for (size, kind), figure in self.latency_ms.items()
        ]
        return {
            "form": self.form,
            "costs_s": self.costs._asdict(),
            "latencies": latencies,
            "throughput_per_s": {batching: one.as_json() for batching, one in self.throughput_per_s.items()},
        }


def paper_ratio(size: str, kind: str) -> float:
    """Of the paper's table: to its unreplicated service."""
    return PAPER_MS[size][KINDS.index(kind)] / PAPER_MS[size][2]


class Settings(NamedTuple):
    forms: tuple[Form, ...]
    channel: ChannelKind
    operations: int  # of each kind and size
    seconds: float  # of each measurement of throughput

    def check(self) -> None:
        """Raises Mistake."""
        if not 1 <= self.operations <= OPERATIONS_MAX:
            raise Mistake(f"--operations is {self.operations}: measure 1 to {OPERATIONS_MAX} of each kind")
        if not 0.01 <= self.seconds <= SECONDS_MAX:
            raise Mistake(f"--seconds is {self.seconds:g}: load the cluster for 0.01 to {SECONDS_MAX:g} s")


class PaperCluster(DemoCluster):
    """n replicas of the NullService; the base class starts and ends them."""

    def __init__(self, directory: Path, n: int, parameters: Parameters, form: Form, channel: ChannelKind) -> None:
        self.directory = directory
        self.genesis = create_cluster(
            directory,
            name="paper",
            machine="outvote.cli.bench_null:NullService",
            replicas=n,
            hosts=[f"127.0.0.1:{port}" for port in free_ports(n)],
            parameters=parameters,
            form=form,
            channel=channel,
        )
        self.processes = {}


class SeparateRequests(Client):
    """Every operation is a request of its own, as if each came from another client."""

    def _start(
        self, command: CommandInterface, args: tuple[Any, ...], kwargs: dict[str, Any], proof: bool
    ) -> asyncio.Future[Answer]:
        future = super()._start(command, args, kwargs, proof)
        self._pass()
        return future


@asynccontextmanager
async def _running(
    where: Path, name: str, n: int, batch_max: int | None, settings: Settings, form: Form
) -> AsyncIterator[PaperCluster]:
    parameters = Parameters() if batch_max is None else Parameters(batch_requests_max=batch_max)
    cluster = PaperCluster(where / name, n, parameters, form, settings.channel)
    try:
        started = await asyncio.gather(*(cluster.start(replica) for replica in range(n)), return_exceptions=True)
        for one in started:
            if isinstance(one, BaseException):
                raise one
        yield cluster
    finally:
        await cluster.close()


async def _latency_s(client: Client, command: str, size: tuple[int, int], operations: int) -> float:
    """The median of so many, one at a time."""
    argument, result_bytes = bytes(size[0]), size[1]
    latencies: list[float] = []
    for number in range(WARM_UP + operations):
        began = time.perf_counter()
        await client.call(command, argument, result_bytes)
        if number >= WARM_UP:
            latencies.append(time.perf_counter() - began)
    return median(latencies)


async def _throughput(cluster: PaperCluster, seconds: float) -> float:
    """Operations 0/0 a second, 64 outstanding."""
    done = 0
    async with await SeparateRequests.connect(cluster.directory, machine=NullService) as client:
        await _latency_s(client, "write", (0, 0), 1)
        began = time.monotonic()

        async def closed_loop() -> None:
            nonlocal done
            while True:
                await client.call("write", b"", 0)
                done += 1
                if time.monotonic() - began >= seconds:
                    return

        await asyncio.gather(*(closed_loop() for _ in range(OUTSTANDING)))
        return done / (time.monotonic() - began)


async def _measure_form(
    where: Path, form: Form, settings: Settings, computing: ComputingCosts, say: Callable[[str], None]
) -> FormResult:
    latency_s: dict[tuple[str, str], float] = {}
    rate: dict[str, float] = {}
    say(f"{form}: one process alone ...")
    async with (
        _running(where, f"{form}-1", 1, None, settings, form) as alone,
        await Client.connect(alone.directory, machine=NullService) as client,
    ):
        for name, size in SIZES.items():
            latency_s[name, "unreplicated"] = await _latency_s(client, "read", size, settings.operations)
    say(f"{form}: four replicas ...")
    async with _running(where, f"{form}-4", N, None, settings, form) as four:
        async with await Client.connect(four.directory, machine=NullService) as client:
            for name, size in SIZES.items():
                latency_s[name, "read-write"] = await _latency_s(client, "write", size, settings.operations)
                latency_s[name, "read-only"] = await _latency_s(client, "read", size, settings.operations)
        say(f"{form}: {OUTSTANDING} outstanding, with batching ...")
        rate["on"] = await _throughput(four, settings.seconds)
    say(f"{form}: {OUTSTANDING} outstanding, without batching ...")
    async with _running(where, f"{form}-unbatched", N, 1, settings, form) as unbatched:
        rate["off"] = await _throughput(unbatched, settings.seconds)
    costs = with_messages(computing, {SIZES[name]: latency_s[name, "unreplicated"] for name in SIZES})
    return _with_predictions(form, costs, latency_s, rate)


def costs_here(where: Path, operations: int = 60) -> Costs:
    """What one of each thing costs on this machine: alone, and between this process and one replica's. Takes seconds.
    `where`: an empty directory, on the file system that the log shall be measured on."""
    computing = measure_computing(where)
    latency_s: dict[str, float] = {}

    async def measure() -> None:
        async with (
            _running(where, "alone", 1, None, Settings(("signatures",), "tls", operations, 1.0), "signatures") as alone,
            await Client.connect(alone.directory, machine=NullService) as client,
        ):
            for name, size in SIZES.items():
                latency_s[name] = await _latency_s(client, "read", size, operations)

    run_loop(measure())
    return with_messages(computing, {SIZES[name]: seconds for name, seconds in latency_s.items()})


def _with_predictions(
    form: Form, costs: Costs, latency_s: dict[tuple[str, str], float], rate: dict[str, float]
) -> FormResult:
    defaults = Parameters()
    cores = os.cpu_count() or 1
    where = Deployment(N, form == "signatures", defaults.tentative, cores, defaults.pipeline)
    latencies: dict[tuple[str, str], Figure] = {}
    for (name, kind), seconds in latency_s.items():
        operation = Operation(*SIZES[name])
        shares = ordered(where, operation) if kind == "read-write" else read_only(
            N if kind == "read-only" else 1, operation
        )
        latencies[name, kind] = Figure(seconds * 1e3, shares.latency_s(costs, cores) * 1e3)
    empty = Operation(0, 0)
    rates = {
        batching: Figure(
            rate[batching],
            throughput_per_s(where, empty, costs, OUTSTANDING, 1 if batching == "off" else defaults.batch_requests_max),
        )
        for batching in BATCHINGS
    }
    return FormResult(form, costs, latencies, rates)


def _memory_file_system() -> Path | None:
    """So that the disk's noise stays out, as in `make bench`; None: among the temporary files."""
    memory = Path("/dev/shm")  # noqa: S108 - a directory of our own is made in it
    return memory if memory.is_dir() and os.access(memory, os.W_OK) else None


def run_benchmark(form: str | None, channel: str, operations: int, seconds: float, json_file: Path | None) -> int:
    """The command."""
    settings = Settings(
        FORMS if form is None else (form_named(form),), channel_named(channel), operations, seconds
    )
    settings.check()
    if json_file is not None and not json_file.absolute().parent.is_dir():  # before half a minute is spent
        raise Mistake(f"--json {json_file}: there is no directory {json_file.absolute().parent}")
    results: list[FormResult] = []
    load = _load_average()

    async def measure(where: Path) -> None:
        computing = measure_computing(where)
        for one in settings.forms:
            result = await _measure_form(where, one, settings, computing, _say)
            results.append(result)

    with tempfile.TemporaryDirectory(prefix="outvote-paper-", dir=_memory_file_system()) as folder:
        run_loop(measure(Path(folder)))
    loads = (load, _load_average())
    print(text_of(settings, results, loads))
    if json_file is not None:
        _write_json(json_file, settings, results, loads, folder)
    return endings.DONE


def text_of(settings: Settings, results: Sequence[FormResult], loads: tuple[float, float]) -> str:
    """The tables as lines."""
    lines = [
        f"Four replicas and the client on {os.cpu_count()} cores, channel {settings.channel}, median of "
        f"{settings.operations} operations one at a time.",
        f"Load of the machine (one minute): {loads[0]:.1f} before, {loads[1]:.1f} after. Trust ratios alone.",
    ]
    for result in results:
        lines += ["", f"form {result.form}: latency, and its ratio to unreplicated", _LATENCY_HEAD]
        for size in SIZES:
            for kind in KINDS:
                lines.append(_latency_line(result, size, kind))
        lines += ["", f"form {result.form}: operations 0/0 a second, {OUTSTANDING} outstanding, each its own request"]
        for batching, figure in result.throughput_per_s.items():
            lines.append(
                f"  batching {batching:<4}{figure.measured:>10.0f}   model {figure.predicted:>8.0f}"
                f"   error {figure.error_percent:>+5.0f} %"
            )
        costs = result.costs
        lines.append(
            f"  costs in us: signature {costs.signature_s * 1e6:.0f}, verification {costs.verification_s * 1e6:.0f}, "
            f"MAC {costs.mac_s * 1e6:.1f}, digest {costs.digest_s * 1e6:.1f}, message {costs.message_s * 1e6:.0f} "
            f"and {costs.message_byte_s * _KIB * 1e6:.1f} a KiB, log {costs.sync_s * 1e6:.0f}"
        )
    lines += ["", "The model's costs of messages come from the unreplicated rows, so their errors are those of a fit."]
    return "\n".join(lines)


_LATENCY_HEAD: Final = (
    f"  {'KiB':<5}{'':<13}{'ms':>8}{'model':>8}{'error':>8}{'ratio':>8}{'model':>8}{'paper':>8}"
)


def _latency_line(result: FormResult, size: str, kind: str) -> str:
    figure, ratio = result.latency_ms[size, kind], result.ratio(size, kind)
    return (
        f"  {size:<5}{kind:<13}{figure.measured:>8.3f}{figure.predicted:>8.3f}{figure.error_percent:>+6.0f} %"
        f"{ratio.measured:>8.2f}{ratio.predicted:>8.2f}{paper_ratio(size, kind):>8.2f}"
    )


def _write_json(
    file: Path, settings: Settings, results: Sequence[FormResult], loads: tuple[float, float], directory: str
) -> None:
    told = {
        **settings._asdict(),
        "cores": os.cpu_count(),
        "load_average": loads,
        "directory": directory,  # of the replicas' logs; gone
        "outstanding": OUTSTANDING,
        "results": [result.as_json() for result in results],
    }
    try:
        file.write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n")
    except OSError as error:
        raise Mistake(f"--json {file}: it cannot be written ({error.strerror})") from None


def _load_average() -> float:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
