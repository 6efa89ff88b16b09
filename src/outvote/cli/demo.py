"""`outvote demo`: a real cluster, a real traitor, a real kill, and the proof that no client was told a wrong word.

Everything lives in a temporary directory and in child processes; both are gone when it ends, however it ends.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

from rich.console import Console

from outvote.cli import demo_acts
from outvote.cli.demo_cluster import HONEST_PROGRAM, TRAITOR_PROGRAM, DemoCluster, N
from outvote.cli.demo_flood import FLOODER, flooding
from outvote.cli.demo_load import Load
from outvote.cli.demo_rejuvenation import rejuvenation
from outvote.cli.demo_report import DemoReport, check_writable, verdict, write_report
from outvote.cli.demo_rot import rotten_page
from outvote.cli.demo_stage import HEIGHT_MIN, WIDTH_MIN, LiveStage, Mood, Picture, PlainStage, Row, Stage
from outvote.cli.demo_watch import WATCHER, Watch
from outvote.client.aio import Client
from outvote.client.config import SessionConfig
from outvote.configuration.genesis import ChannelKind, Form, channel_named, entry_name, form_named
from outvote.errors import Mistake, OutvoteError
from outvote.protocols.catalogue import protocol as protocol_named
from outvote.simulator.checkers.linearizability import check
from outvote.simulator.checkers.store_model import StoreModel
from outvote.types import SECOND, ReplicaId

Pace = Literal["normal", "fast"]
PACES: Final[dict[Pace, float]] = {"normal": 1.0, "fast": 0.2}
INTERRUPTED: Final = 130  # what a shell expects after Ctrl-C
LOAD_CLIENTS: Final = 4
LOAD_TIMEOUT_NS: Final = 120 * SECOND  # the load waits through every act; the probe is the impatient one
FRAME_S: Final = 0.125
SLEEPERS: Final = (0, 1)  # run the traitor's program from the start, and are honest until told
PLAY: Final[dict[int, Callable[[demo_acts.Story], Awaitable[None]]]] = {
    1: demo_acts.fault_free, 2: flooding, 3: demo_acts.treason, 4: rejuvenation, 5: demo_acts.recovery,
    6: rotten_page, 7: demo_acts.beyond_limit,
}  # fmt: skip
WORDS: Final = {
    "equivocate": "equivocates", "forge-values": "forges", "half-broadcast": "speaks to half", "silent": "says nothing",
}  # fmt: skip


def run_demo(
    report_path: Path = Path("demo-report.json"),
    *,
    pace: Pace = "normal",
    plain: bool = False,
    acts: Sequence[int] = tuple(PLAY),
    form: str = "signatures",
    channel: str = "tls",
) -> int:
    """Play, write the report, return the exit status: 0, 1 if anything was wrong, 130 after Ctrl-C.

    `plain`: no live display even on a terminal. Raises Mistake if the report cannot be written there.
    """
    check_writable(report_path)
    kind = (form_named(form), channel_named(channel))
    protocol_named(entry_name("pbft", form))
    console = Console(highlight=False)
    large = console.width >= WIDTH_MIN and console.height >= HEIGHT_MIN
    live = console.is_terminal and not console.is_dumb_terminal and large and not plain
    stage: Stage = LiveStage(console) if live else PlainStage(_print_line)
    report = DemoReport(replicas=N)
    directory = Path(tempfile.mkdtemp(prefix="outvote-demo-"))
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_until_told_to_stop(_perform(directory, stage, report, PACES[pace], acts, kind)))
    except (asyncio.CancelledError, KeyboardInterrupt):
        stage.close()
        _print_line("stopped: the replicas and their directory are gone")
        return INTERRUPTED
    finally:
        stage.close()
        shutil.rmtree(directory, ignore_errors=True)
    report.seconds = round(stage.seconds, 1)
    report.complaints = verdict(report)
    report.ok = not report.complaints
    write_report(report, report_path)
    stage.finish(report, str(report_path))
    return 0 if report.ok else 1


def _print_line(text: str) -> None:
    print(text, flush=True)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _until_told_to_stop(performance: Awaitable[None]) -> None:
    """Ctrl-C and SIGTERM cancel the performance once; pressing again does not disturb the cleaning up."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(performance)
    for name in (signal.SIGINT, signal.SIGTERM):
        # Windows raises KeyboardInterrupt instead; outside the main thread signals are others' affair.
        with suppress(NotImplementedError, ValueError, RuntimeError):
            loop.add_signal_handler(name, _cancel_once, task)
    try:
        await task
    except asyncio.CancelledError:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
        raise


def _cancel_once(task: asyncio.Future[None]) -> None:
    if isinstance(task, asyncio.Task) and not task.cancelling():
        task.cancel()


async def _perform(
    directory: Path,
    stage: Stage,
    report: DemoReport,
    pace: float,
    acts: Sequence[int],
    kind: tuple[Form, ChannelKind],
) -> None:
    """From the first key to the last digest. What goes wrong becomes a complaint in the report."""
    names = [f"load-{number}" for number in range(LOAD_CLIENTS)]
    stage.act(0, "setting the stage")
    stage.say("Keys, certificates and a genesis file for four replicas; no Docker, no configuration.")
    cluster = DemoCluster(directory / "cluster", [*names, WATCHER, demo_acts.PROBE, FLOODER], *kind)
    watch = Watch(cluster)
    load = Load([])
    story = demo_acts.Story(cluster, load, watch, stage, report, pace)
    drawing = asyncio.get_running_loop().create_task(_draw(stage, cluster, load, watch))
    try:
        try:
            await _start(story, names)
            await _play(story, acts)
        except OutvoteError as error:
            report.complaints.append(str(error))
            stage.event(str(error), "bad")
        await load.close()
        await _check_history(story)
    finally:
        await load.close()
        _count(report, load)
        drawing.cancel()
        await watch.close()
        for client in load.clients:
            await client.close()
        await cluster.close()


async def _start(story: demo_acts.Story, names: Sequence[str]) -> None:
    """All replicas at once, then the clients."""
    cluster, load, watch = story.cluster, story.load, story.watch
    began = time.monotonic()
    programs = [TRAITOR_PROGRAM if replica in SLEEPERS else HONEST_PROGRAM for replica in range(N)]
    starts = [cluster.start(replica, program) for replica, program in enumerate(programs)]
    for outcome in await asyncio.gather(*starts, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
    took_ms = 1000 * (time.monotonic() - began)
    story.stage.event(f"four replica processes serve after {took_ms:,.0f} ms", "good")
    config = SessionConfig(timeout_ns=LOAD_TIMEOUT_NS)
    for name in names:
        client = await Client.connect(cluster.directory, name, config=config)
        load.clients.append(client)
    await watch.begin()
    await watch.until("all replicas answered", watch.settled)
    load.begin()


async def _play(story: demo_acts.Story, acts: Sequence[int]) -> None:
    """The acts, and the digests after the last of them."""
    report = story.report
    for number in sorted(set(acts)):
        story.load.resume()
        await PLAY[number](story)
        report.acts.append(number)
        for sentence in story.cluster.unexpected_ends():
            raise Mistake(sentence)
    await story.quiet()
    report.digests_equal = story.watch.equal()
    report.final_position = story.watch.position()
    report.final_digest = next((r.history.hex() for r in story.watch.reports if r is not None), "")
    report.honest_replicas = [replica for replica in range(N) if replica not in story.liars]


async def _check_history(story: demo_acts.Story) -> None:
    """Whether everything that the clients saw fits one order; also after an act that failed."""
    history, facts = list(story.load.history), story.report.linearizability
    if not history:
        return
    story.stage.say(f"Was it all true? The linearizability checker looks at all {len(history):,} operations.")
    found = await asyncio.to_thread(check, history, StoreModel())
    facts.verdict, facts.text, facts.operations = found.outcome.value, found.text, len(history)
    story.stage.event(f"{found.outcome.value}: {found.text.splitlines()[0]}", "proud" if found.ok else "bad")


def _count(report: DemoReport, load: Load) -> None:
    counted = report.operations
    counted.sent, counted.acknowledged, counted.wrong = load.sent, load.acknowledged, load.oracle.wrong
    counted.unknown, counted.refused, counted.never_sent = load.unknown, load.refused, load.not_sent
    counted.wrong_shown = load.oracle.sentences
    report.replies_outvoted = load.outvoted()


async def _draw(stage: Stage, cluster: DemoCluster, load: Load, watch: Watch) -> None:
    while True:
        now = time.monotonic_ns()
        pulse = load.pulse
        stage.draw(
            Picture(
                [_row(replica, cluster, watch) for replica in range(N)],
                pulse.rate(now), pulse.latency(now), pulse.bars(now),
                load.acknowledged, load.oracle.wrong, sum(load.outvoted()),
            )
        )  # fmt: skip
        await asyncio.sleep(FRAME_S)


def _row(replica: ReplicaId, cluster: DemoCluster, watch: Watch) -> Row:
    report = watch.reports[replica]
    if report is None:
        doing, mood = _absent(replica, cluster)
        return Row(replica, "-", "-", "-", "-", None, doing, mood)
    standing = report.standing
    leads = standing.active and standing.leader == replica
    behaviours = cluster.behaviours(replica)
    said: tuple[str, Mood] = ("proposes, votes, answers" if leads else "votes, answers", "plain")
    if behaviours:
        said = ("TRAITOR: " + ", ".join(WORDS.get(name, name) for name in behaviours.split()), "bad")
    elif not standing.active or standing.note.startswith("fetching"):
        said = (standing.note, "plain")
    digest = f"{report.checkpoint_digest.hex()[:10]} @{report.checkpoint}" if report.checkpoint else "no checkpoint yet"
    return Row(
        replica, "primary" if leads else "backup", str(standing.view), f"{standing.position:,}", digest,
        watch.agreement(report), *said,
    )  # fmt: skip


def _absent(replica: ReplicaId, cluster: DemoCluster) -> tuple[str, Mood]:
    running = cluster.processes.get(replica)
    if running is None:
        return "killed", "bad"
    if running.serving.is_set():
        return "comes back", "plain"
    return "starts: reads its disk", "plain"


if __name__ == "__main__":
    sys.exit(run_demo())
