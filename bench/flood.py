"""What one flooding client costs the others: a real cluster, clients that wait for answers, and one that does not.

    python bench/flood.py [--clients 8] [--seconds 4] [--rounds 3]

The modest clients have one operation under way each; how often each asks without a flood is the rate that the flooder
exceeds a hundredfold, in requests a second towards every replica, as far as these read them. It is a process of its
own, and on a small machine it takes its share of the processors as well: so a process that makes the same requests and
sends them nowhere is measured too, and the share is of what is left beside that. Five floods:

    window      requests as they should be, as many as the window allows, 100 operations each
    beyond      requests beyond its window, well sealed
    unheard     requests within a window that it moves on without waiting for answers, well sealed
    again       one and the same request, executed long ago
    forged      requests whose seals are wrong
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import statistics
import time
from multiprocessing.synchronize import Event as Flag
from pathlib import Path
from typing import Final

from cluster import Cluster
from outvote import Client, KeyValueStore
from outvote.cli.serve import run_loop
from outvote.client.connections import Connections
from outvote.configuration.files import load_client_keys, load_genesis
from outvote.core.contract import Request, RequestStatement
from outvote.crypto.seals import Ed25519Sealer, domain
from outvote.machines.interface import describe
from outvote.types import ReplicaId
from outvote.wire.client_messages import OUTSTANDING_MAX, Submit, ToClient, encode_client_message
from outvote.wire.frames import frame
from run import memory_folder

TIMES: Final = 100
FLOODER: Final = "flooder"
KINDS: Final = ("window", "beyond", "unheard", "again", "forged")
PREPARED: Final = 2000  # requests made before the flood begins, so that making them costs nothing while it lasts
STEP_S: Final = 0.005


class Ignored:
    """Takes no notice of what replicas say."""

    def opened(self, replica: ReplicaId) -> None: ...

    def lost(self, replica: ReplicaId) -> None: ...

    def heard(self, replica: ReplicaId, message: ToClient) -> None: ...

    def keyed(self, replica: ReplicaId, key: bytes) -> None: ...


def prepared(directory: Path, kind: str) -> list[bytes]:
    """Frames to send, again and again."""
    genesis = load_genesis(directory)
    keys = load_client_keys(directory, FLOODER, genesis)
    sealer = Ed25519Sealer(domain(genesis.identity(), genesis.epoch), keys.signing)
    operation = describe(KeyValueStore).encode("put", ("flood", "v" * 100))
    frames = []
    for index in range(1 if kind == "again" else PREPARED):
        number = 1 + index % OUTSTANDING_MAX
        if kind in ("beyond", "unheard"):
            number = OUTSTANDING_MAX + 1 + index
        acknowledged = number - 1 if kind == "unheard" else 0
        seal = sealer.seal(RequestStatement(keys.party, number, acknowledged, (operation,)))
        if kind == "forged":
            seal = index.to_bytes(4, "big") + seal[4:]
        request = Request(keys.party, number, acknowledged, (operation,), seal)
        frames.append(frame(encode_client_message(Submit(request))))
    return frames


def flood(directory: Path, kind: str, rate: float, nowhere: bool, begun: Flag, ended: Flag, counted: object) -> None:
    """A process: sends `rate` requests a second to every replica until told to end."""
    if kind == "window":
        run_loop(fill_window(directory, rate, begun, ended, counted))
    else:
        run_loop(send_raw(directory, kind, rate, nowhere, begun, ended, counted))


async def send_raw(
    directory: Path, kind: str, rate: float, nowhere: bool, begun: Flag, ended: Flag, counted: object
) -> None:
    genesis = load_genesis(directory)
    frames = prepared(directory, kind)
    connections = Connections(genesis, load_client_keys(directory, FLOODER, genesis), Ignored())
    connections.start()
    await asyncio.sleep(0.5)
    began = time.monotonic()
    sent = 0
    begun.set()
    while not ended.is_set():
        await asyncio.sleep(STEP_S)
        due = min(int((time.monotonic() - began) * rate) - sent, PREPARED)
        if due <= 0:
            continue
        data = b"".join(frames[(sent + index) % len(frames)] for index in range(due))
        for replica in range(genesis.n):
            if not nowhere:
                connections.send(replica, data)
        sent += due
    counted.value = sent / (time.monotonic() - began)  # type: ignore[attr-defined]
    await connections.close()


async def fill_window(directory: Path, rate: float, begun: Flag, ended: Flag, counted: object) -> None:
    """All that an honest session allows: 64 requests of up to 256 operations under way."""
    done = 0
    async with await Client.connect(directory, FLOODER, KeyValueStore) as client:
        began = time.monotonic()
        begun.set()

        async def closed_loop() -> None:
            nonlocal done
            while not ended.is_set():
                wait = done / rate - (time.monotonic() - began)
                if wait > 0:
                    await asyncio.sleep(wait)
                done += 1
                await client.call("put", "flood", "v" * 100)

        await asyncio.gather(*(closed_loop() for _ in range(2000)))
        counted.value = done / (time.monotonic() - began)  # type: ignore[attr-defined]


async def modest(directory: Path, clients: int, seconds: float) -> float:
    """Operations a second of all modest clients together."""
    done = 0

    async def one(client: Client, stop: float) -> None:
        nonlocal done
        while time.monotonic() < stop:
            await client.call("put", "modest", "v")
            done += 1

    open_clients = [await Client.connect(directory, f"modest{index}", KeyValueStore) for index in range(clients)]
    try:
        for client in open_clients:
            await client.call("put", "warm", "v")
        began = time.monotonic()
        await asyncio.gather(*(one(client, began + seconds) for client in open_clients))
        return done / (time.monotonic() - began)
    finally:
        for client in open_clients:
            await client.close()


def measured(directory: Path, clients: int, seconds: float) -> float:
    found: list[float] = []

    async def main() -> None:
        found.append(await modest(directory, clients, seconds))

    run_loop(main())
    return found[0]


def beside(directory: Path, clients: int, seconds: float, kind: str, rate: float, nowhere: bool) -> tuple[float, float]:
    """Operations a second of the modest ones, and what the flooder really sent, with a flood beside them."""
    context = multiprocessing.get_context("spawn")
    begun, ended, counted = context.Event(), context.Event(), context.Value("d", 0.0)
    process = context.Process(target=flood, args=(directory, kind, rate, nowhere, begun, ended, counted))
    process.start()
    begun.wait(30)
    try:
        return measured(directory, clients, seconds), counted.value
    finally:
        ended.set()
        process.join(20)
        process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kinds", nargs="*", default=KINDS, choices=KINDS)
    chosen = parser.parse_args()
    names = [FLOODER, *(f"modest{index}" for index in range(chosen.clients))]
    heads = f"{'calm op/s':>9}  {'beside op/s':>11}  {'flooded op/s':>12}  {'share':>6}"
    print(f"{'flood':>8}  {'requests/s':>10}  {heads}")
    for kind in chosen.kinds:
        rows = []
        for _ in range(chosen.rounds):
            with Cluster(memory_folder(), clients=names) as cluster:
                calm = measured(cluster.directory, chosen.clients, chosen.seconds)
                rate = TIMES * calm / chosen.clients
                own, _ = beside(cluster.directory, chosen.clients, chosen.seconds, "beyond", rate, True)
                flooded, _ = beside(cluster.directory, chosen.clients, chosen.seconds, kind, rate, False)
                rows.append((rate, calm, own, flooded))
        rate, calm, own, flooded = (statistics.median(column) for column in zip(*rows, strict=True))
        share = statistics.median(row[3] / row[2] for row in rows)
        print(f"{kind:>8}  {rate:>10.0f}  {calm:>9.0f}  {own:>11.0f}  {flooded:>12.0f}  {share:>6.1%}", flush=True)


if __name__ == "__main__":
    main()
