"""A client that asks for far more than its share: the flood of `outvote demo`.

Started as `python -m outvote.cli.flooder DIRECTORY --client NAME`, it makes genuine requests, well sealed and numbered,
says "ready", and from a line with a number on its standard input sends that many a second to every replica, without
waiting for an answer. When its standard input ends it says how many it has sent, and ends.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from outvote.cli.serve import run_loop
from outvote.cli.traitor import read_orders
from outvote.client.connections import Connections
from outvote.configuration.files import load_client_keys, load_genesis
from outvote.core.contract import Request, RequestStatement
from outvote.crypto.seals import Ed25519Sealer, domain
from outvote.machines.interface import describe
from outvote.machines.key_value import KeyValueStore
from outvote.types import ReplicaId
from outvote.wire.client_messages import Submit, ToClient, encode_client_message
from outvote.wire.frames import frame

READY: Final = "ready"
SENT: Final = "sent "  # begins the last line
KEY: Final = "flood"
PREPARED: Final = 4000  # requests, 40 us each to seal: made before the flood, or they would be most of its cost
STEP_S: Final = 0.01
BEHIND_MAX: Final = 1000  # a step's requests at most: what a busy machine did not send in time is not made up for
CONNECT_WITHIN_S: Final = 20.0


class Heedless:
    """Takes no notice of what replicas say."""

    def __init__(self, n: int) -> None:
        self.everywhere = asyncio.Event()  # connected to all replicas
        self._missing = set(range(n))

    def opened(self, replica: ReplicaId) -> None:
        self._missing.discard(replica)
        if not self._missing:
            self.everywhere.set()

    def lost(self, replica: ReplicaId) -> None: ...

    def heard(self, replica: ReplicaId, message: ToClient) -> None: ...

    def keyed(self, replica: ReplicaId, key: bytes) -> None: ...


def prepared(directory: Path, client: str) -> list[bytes]:
    """Frames to send. Each acknowledges all before it, so none is beyond the window of its client."""
    genesis = load_genesis(directory)
    keys = load_client_keys(directory, client, genesis)
    sealer = Ed25519Sealer(domain(genesis.identity(), genesis.epoch), keys.signing)
    interface = describe(KeyValueStore)
    frames = []
    for number in range(1, PREPARED + 1):
        operations = (interface.encode("put", (KEY, str(number))),)
        seal = sealer.seal(RequestStatement(keys.party, number, number - 1, operations))
        request = Request(keys.party, number, number - 1, operations, seal)
        frames.append(frame(encode_client_message(Submit(request))))
    return frames


async def flood(directory: Path, client: str) -> None:
    """Until standard input ends. Raises Mistake for a directory or client that is not there."""
    frames = prepared(directory, client)
    genesis = load_genesis(directory)
    heedless = Heedless(genesis.n)
    connections = Connections(genesis, load_client_keys(directory, client, genesis), heedless)
    connections.start()
    loop = asyncio.get_running_loop()
    told: asyncio.Future[float] = loop.create_future()
    ended = asyncio.Event()

    def heard(line: str) -> None:
        if not told.done():
            told.set_result(float(line))

    def on_line(line: str) -> None:
        loop.call_soon_threadsafe(heard, line)

    def on_end() -> None:
        loop.call_soon_threadsafe(ended.set)
        loop.call_soon_threadsafe(heard, "0")  # nobody will tell a rate any more

    try:
        async with asyncio.timeout(CONNECT_WITHIN_S):
            await heedless.everywhere.wait()
        read_orders(on_line, on_end)
        print(READY, flush=True)
        rate = await told
        sent, began = 0, time.monotonic()
        while not ended.is_set():
            due = int((time.monotonic() - began) * rate) - sent
            chosen = [frames[(sent + index) % PREPARED] for index in range(min(due, BEHIND_MAX))]
            for replica in range(genesis.n):
                connections.send(replica, b"".join(chosen))
            sent += len(chosen)
            await asyncio.sleep(STEP_S)
        print(f"{SENT}{sent} {time.monotonic() - began:.3f}", flush=True)
    finally:
        await connections.close()


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="outvote.cli.flooder")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--client", required=True)
    given = parser.parse_args(arguments)
    run_loop(flood(given.directory, given.client))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
