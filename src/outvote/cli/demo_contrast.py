"""`outvote demo --contrast`: the same traitor among four replicas of PBFT and among three of Raft.

Real processes on this machine, twice: a client writes a value, then the replica that leads answers every client with
another one. The client of PBFT reads what was written. The client of Raft reads what nobody wrote, since it believes
one replica; that is Raft as it should be, and what it is not for.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from outvote.cli import endings
from outvote.cli.demo_cluster import TRAITOR_PROGRAM, DemoCluster
from outvote.cli.traitor import FORGE_VALUES
from outvote.client.aio import Client
from outvote.machines.key_value import KeyValueStore
from outvote.protocols.catalogue import protocol
from outvote.types import ReplicaId

KEY: Final = "greeting"
WRITTEN: Final = "hello"
READER: Final = "reader"
SIZES: Final = {"pbft": 4, "raft": 3}  # the fewest that bear one fault, each of its own kind


class Reading(NamedTuple):
    """What one client saw."""

    protocol: str
    replicas: int
    traitor: ReplicaId
    honest: str  # read before the traitor lied
    read: str  # and after


async def read_beside_a_traitor(name: str, directory: Path) -> Reading:
    """One cluster from its first key to its last answer. Raises Mistake if it cannot be started."""
    size = SIZES[name]
    cluster = DemoCluster(directory, [READER], protocol=name, replicas=size)
    try:
        await asyncio.gather(*(cluster.start(replica, TRAITOR_PROGRAM) for replica in range(size)))
        async with await Client.connect(directory, READER, KeyValueStore) as client:
            store = client.of(KeyValueStore)
            await store.put(KEY, WRITTEN)
            honest = (await store.get(KEY)).value
            traitor = client.session.leader
            await cluster.order(traitor, FORGE_VALUES)
            return Reading(name, size, traitor, honest, (await store.get(KEY)).value)
    finally:
        await cluster.close()


async def readings() -> list[Reading]:
    """One after the other: both on two processor cores would only wait for each other."""
    found = []
    for name in SIZES:
        with tempfile.TemporaryDirectory(prefix="outvote-contrast-") as directory:
            found.append(await read_beside_a_traitor(name, Path(directory) / "cluster"))
    return found


def lines(found: list[Reading]) -> list[str]:
    """Side by side, a line a fact."""
    rows = [
        ("", *(f"{one.protocol}, {one.replicas} replicas" for one in found)),
        ("tolerates", *(f"one that {'lies' if protocol(one.protocol).byzantine else 'crashes'}" for one in found)),
        ("a client believes", *("f + 1 or a quorum" if protocol(one.protocol).byzantine else "one replica"
                                for one in found)),
        ("written", *(WRITTEN for _ in found)),
        ("read before", *(one.honest for one in found)),
        ("traitor", *(f"replica {one.traitor}, which leads" for one in found)),
        ("read then", *(one.read for one in found)),
        ("", *("right" if one.read == WRITTEN else "FORGED: nobody wrote that" for one in found)),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(found) + 1)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def run_contrast() -> int:
    """0 if both did what they promise: PBFT's client read the truth, and Raft's, which promises nothing then, a lie."""
    found = asyncio.run(readings())
    print("\n".join(lines(found)), flush=True)
    as_promised = all((one.read == WRITTEN) == protocol(one.protocol).byzantine for one in found)
    return endings.DONE if as_promised and all(one.honest == WRITTEN for one in found) else endings.NEGATIVE
