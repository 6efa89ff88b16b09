"""The act of `outvote demo` in which a bit of one replica's stored state flips, and is found and repaired."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Final

from outvote.cli.demo_acts import Story, a_backup
from outvote.cli.demo_cluster import HONEST_PROGRAM
from outvote.errors import Mistake
from outvote.storage.snapshots import HEADER_BYTES, list_snapshots, snapshot_name
from outvote.types import MILLISECOND

BALLAST: Final = 1500  # entries, so that the state is many pages
BALLAST_BYTES: Final = 200  # of each, with its name
CHECKPOINTS: Final = 2  # that have to be stable with all of that in them: a replica keeps the states of two
FLIPPED: Final = BALLAST // 2  # the entry that is hit
_REPAIRED: Final = re.compile(r"fetched (\d+) of the (\d+) leaves of the state of position \d+, (\d+) of (\d+) bytes")


async def rotten_page(story: Story) -> None:
    """The load pauses, so that nothing but the damage differs, and all that is fetched is the repair."""
    stage, load, watch, facts = story.stage, story.load, story.watch, story.report.rot
    stage.act(6, "a rotten page")
    stage.say(
        f"{BALLAST:,} entries more. Then one replica stops, and one bit flips in its state on the disk: in both "
        "copies that it keeps, so that neither is right."
    )
    await load.write([(f"ballast-{entry:04}", ballast(entry)) for entry in range(BALLAST)])
    stable = watch.position()
    steps = CHECKPOINTS * story.cluster.genesis.parameters.checkpoint_interval
    await watch.until("the state was stored", lambda: watch.stable() >= stable + steps)
    await story.quiet()
    victim = facts.replica = a_backup(story, avoided=set())
    await story.cluster.kill(victim)
    folder = story.cluster.directory / f"replica-{victim}" / "data"
    facts.flipped = flip_one_bit(folder, ballast(FLIPPED).encode())
    for where in facts.flipped:
        stage.event(f"replica {victim}: a bit flips in {where}")
    stage.say(
        f"Replica {victim} starts. The state's checksum is wrong, so every leaf that can still be read is compared "
        "with the digest that a quorum certified, down the Merkle tree, and what differs is fetched from the others."
    )
    began = time.monotonic_ns()
    await story.cluster.start(victim, HONEST_PROGRAM)
    await watch.renew()
    await watch.until(f"replica {victim} had repaired its state", lambda: _said(story, victim) is not None)
    await watch.until("all replicas stood at one position", watch.settled)
    facts.repaired_ms = round((time.monotonic_ns() - began) / MILLISECOND, 1)
    found = _said(story, victim)
    if found is not None:
        facts.leaves_fetched, facts.leaves, facts.bytes_fetched, facts.bytes = map(int, found.groups())
    facts.digests_equal = watch.equal()
    stage.event(
        f"found and repaired: {facts.leaves_fetched:,} of {facts.leaves:,} leaves fetched, {facts.bytes_fetched:,} of "
        f"{facts.bytes:,} bytes; all digests {'equal' if facts.digests_equal else 'NOT equal'}",
        "proud" if facts.digests_equal else "bad",
    )
    load.resume()
    await story.hold(1.0)


def ballast(entry: int) -> str:
    """Nobody else writes this."""
    return f"ballast {entry:04} ".ljust(BALLAST_BYTES, ".")


def flip_one_bit(folder: Path, value: bytes) -> list[str]:
    """In each state stored in `folder`, where `value` stands; returns file names and offsets. Raises Mistake if it
    stands nowhere."""
    flipped = []
    for generation in list_snapshots(folder):
        path = folder / snapshot_name(generation)
        data = bytearray(path.read_bytes())
        at = data.find(value, HEADER_BYTES)
        if at >= 0:
            at += len(value) - 1
            data[at] ^= 1
            path.write_bytes(data)
            flipped.append(f"{path.name}, byte {at:,}")
    if not flipped:
        raise Mistake("no replica has stored a state yet, so nothing in it can rot")
    return flipped


def _said(story: Story, replica: int) -> re.Match[str] | None:
    """The replica's own words about what it has fetched."""
    for line in story.cluster.processes[replica].lines:
        if found := _REPAIRED.search(line):
            return found
    return None
