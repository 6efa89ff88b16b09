"""Replicas, clients and strangers on real sockets, for the tests of links."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop

from outvote.configuration.files import PartyKeys, create_cluster, load_client_keys, load_replica_keys
from outvote.configuration.genesis import Genesis
from outvote.core.contract import Struct
from outvote.host.links import Links
from outvote.transport.tls import PinnedCertificates
from outvote.types import FIRST_CLIENT
from outvote.wire.client_messages import (
    Ask,
    ToClient,
    ToReplica,
    decode_to_client,
    encode_client_message,
)
from outvote.wire.frames import FrameSplitter, frame

CLIENT = FIRST_CLIENT
DEADLINE_S = 20.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Genesis]:
    directory = tmp_path_factory.mktemp("links") / "cluster"
    return directory, create_cluster(directory, name="links", machine="m:M", replicas=3, clients=["default", "other"])


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    """Runs a scenario on one kind of loop; fails if the loop was ever told of an error."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def runs(scenario: Coroutine[Any, Any, None]) -> None:
        complaints: list[dict[str, Any]] = []
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: complaints.append(context))
            runner.run(asyncio.wait_for(scenario, 3 * DEADLINE_S))
        assert complaints == []

    return runs


Run = Callable[[Coroutine[Any, Any, None]], None]
Cluster = tuple[Path, Genesis]


class Recorder:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.lies: list[tuple[int, str]] = []
        self.notes: list[str] = []

    def count(self, what: str, amount: int = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + amount

    def lie(self, party: int, kind: str, text: str) -> None:
        self.lies.append((party, text))

    def evidence(self, party: int, first: tuple[Struct, bytes], second: tuple[Struct, bytes]) -> None:
        raise AssertionError("links never accuse")

    def note(self, text: str) -> None:
        self.notes.append(text)

    def checkpoint(self, position: int, digest: bytes) -> None:
        raise AssertionError("links know no checkpoints")


class Replica:
    """Links and what came through them."""

    def __init__(self, cluster: Cluster, number: int) -> None:
        directory, genesis = cluster
        self.observer = Recorder()
        self.frames: list[tuple[int, bytes]] = []
        self.messages: list[tuple[int, ToReplica]] = []
        self.lost: list[int] = []
        self.links = Links(
            genesis,
            load_replica_keys(directory, number, genesis),
            self.observer,
            on_replica_frame=lambda replica, body: self.frames.append((replica, body)),
            on_client_message=lambda client, message: self.messages.append((client, message)),
            on_client_lost=self.lost.append,
        )


class RawClient:
    """A client made of the standard library's own TLS, so that ours is tested against another."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._splitter = FrameSplitter()
        self._bodies: list[bytes] = []

    def send(self, message: ToReplica) -> None:
        self.writer.write(frame(encode_client_message(message)))

    async def receive(self) -> ToClient:
        while not self._bodies:
            chunk = await asyncio.wait_for(self.reader.read(65536), DEADLINE_S)
            if not chunk:
                raise EOFError
            self._bodies = self._splitter.feed(chunk)
        message: ToClient = decode_to_client(self._bodies.pop(0))
        return message

    async def closed(self) -> None:
        """Waits until the other side has ended the connection."""
        try:
            while await asyncio.wait_for(self.reader.read(65536), DEADLINE_S):
                pass
        except (ConnectionError, ssl.SSLError):
            pass


async def eventually(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - conditions are of many kinds, and this is a test
            await asyncio.sleep(0.002)


def free_ports(cluster: Cluster) -> Cluster:
    """The same cluster on ports that nobody uses now; addresses are no part of its identity."""
    directory, genesis = cluster
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in genesis.replicas]
    replicas = tuple(
        msgspec.structs.replace(replica, port=taken.getsockname()[1])
        for replica, taken in zip(genesis.replicas, sockets, strict=True)
    )
    for taken in sockets:
        taken.close()
    return directory, msgspec.structs.replace(genesis, replicas=replicas)


@asynccontextmanager
async def running(cluster: Cluster, *numbers: int) -> AsyncIterator[list[Replica]]:
    replicas = [Replica(cluster, number) for number in numbers]
    try:
        for replica in replicas:
            await replica.links.start()
        yield replicas
    finally:
        for replica in replicas:
            await replica.links.stop()


async def dial(cluster: Cluster, replica: int, keys: PartyKeys | None = None, party: int = CLIENT) -> RawClient:
    directory, genesis = cluster
    name = genesis.clients[party - FIRST_CLIENT].name
    context = PinnedCertificates(genesis.certificates()).dialing_context(
        keys or load_client_keys(directory, name, genesis)
    )
    host, port = genesis.addresses()[replica]
    return RawClient(*await asyncio.open_connection(host, port, ssl=context, server_hostname=""))


async def plain(cluster: Cluster, replica: int) -> RawClient:
    return RawClient(*await asyncio.open_connection(*cluster[1].addresses()[replica]))


async def still_works(cluster: Cluster, first: Replica, second: Replica) -> None:
    """Replicas and clients reach the first one, whatever came before."""
    before = len(first.frames)
    second.links.send(first.links.me, b"still here")
    await eventually(lambda: (second.links.me, b"still here") in first.frames[before:])
    client = await dial(cluster, first.links.me)
    client.send(Ask(12345))
    await eventually(lambda: (CLIENT, Ask(12345)) in first.messages)
    client.writer.close()
