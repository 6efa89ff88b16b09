"""The act of `outvote demo` in which one client asks for a hundred times as much as each of the others."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Final

from outvote.cli.demo_acts import Story
from outvote.cli.demo_cluster import DemoCluster, child_environment
from outvote.cli.flooder import READY, SENT
from outvote.errors import Mistake

FLOODER: Final = "flooder"  # the name of its client
TIMES: Final = 100
START_WITHIN_S: Final = 60.0
MEASURED_S: Final = 1.5  # without the flood, and again with it


class Flood:
    """The process that floods."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, cluster: DemoCluster) -> Flood:
        """Returns when it is ready. Raises Mistake if it does not come to that."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "outvote.cli.flooder", str(cluster.directory), "--client", FLOODER,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            env=child_environment(), start_new_session=True,
        )  # fmt: skip
        flood = cls(process)
        try:
            if await flood._line() != READY:
                raise Mistake("the flooding client did not start")
        except BaseException:
            await flood.kill()
            raise
        return flood

    def begin(self, rate: float) -> None:
        """So many requests a second, from now on."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{rate}\n".encode())

    async def end(self) -> float:
        """Returns how many requests a second it has sent to every replica. Raises Mistake if it does not say."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        said = await self._line()
        if not said.startswith(SENT):
            raise Mistake(f"the flooding client ended early: {said or 'without a word'}")
        sent, seconds = said.removeprefix(SENT).split()
        return int(sent) / float(seconds)

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def _line(self) -> str:
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(START_WITHIN_S):
                return (await self._process.stdout.readline()).decode().strip()
        except TimeoutError:
            raise Mistake(f"the flooding client said nothing within {START_WITHIN_S:g} s") from None


async def flooding(story: Story) -> None:
    """What it costs the others is shown; that nothing but time is lost, the checks at the end see."""
    stage, load, facts = story.stage, story.load, story.report.flood
    stage.act(2, "a flood")
    stage.say(
        f"A fifth client has a valid key and no manners: it sends {TIMES} times as much as each of the others, and "
        "waits for no answer. Batches are cut in turn by client, so that it waits for itself."
    )
    flood = await Flood.start(story.cluster)
    try:
        facts.others_before = round(await _rate(story), 1)
        asked = TIMES * facts.others_before / len(load.clients)
        stage.event(f"the others before it: {facts.others_before:,.0f} operations/s")
        flood.begin(asked)
        stage.event(f"the flood begins: {asked:,.0f} requests/s to every replica")
        facts.others_during = round(await _rate(story), 1)
        facts.requests_per_second = round(await flood.end(), 1)
    finally:
        await flood.kill()
    facts.times = round(facts.requests_per_second * len(load.clients) / facts.others_before, 1)
    facts.share_percent = round(100 * facts.others_during / facts.others_before, 1)
    stage.event(
        f"{facts.requests_per_second:,.0f} requests/s came, {facts.times:,.0f} times a client's share; the others kept "
        f"{facts.others_during:,.0f} operations/s, {facts.share_percent:.0f} %",
        "good",
    )
    stage.event("(the flooding process's own share of this machine is part of what is missing)")


async def _rate(story: Story) -> float:
    """Operations a second of the load, over a while in which some were acknowledged."""
    began, before = time.monotonic(), story.load.acknowledged
    await asyncio.sleep(MEASURED_S * max(story.pace, 0.5))  # too short a while would measure single batches
    await story.hold(0.0, 1)
    return (story.load.acknowledged - before) / (time.monotonic() - began)
