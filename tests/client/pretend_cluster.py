"""A cluster in one event loop: real TLS, real seals and a real state machine, with the agreement left out.

The first replica to receive a request executes it for all; then each replica answers in its own manner.
"""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from types import TracebackType
from typing import Final, cast

from outvote.configuration.files import create_cluster, load_replica_keys
from outvote.configuration.genesis import Parameters
from outvote.core.contract import Delivery, Request, Standing
from outvote.crypto.seals import Ed25519Opener, Ed25519Sealer, domain
from outvote.errors import Lie
from outvote.machines.executor import Executor
from outvote.machines.key_value import KeyValueStore
from outvote.machines.operations import encode_done
from outvote.transport.tls import PinnedCertificates, TlsChannel, TlsSide
from outvote.wire.client_messages import (
    Ask,
    Refusal,
    Reply,
    ReplyStatement,
    Report,
    Submit,
    ToClient,
    decode_to_replica,
    encode_client_message,
)
from outvote.wire.frames import FrameSplitter, frame

LIE: Final = encode_done(999_999)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(listener.getsockname()[1]) for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports


class Door(asyncio.Protocol):
    """One client's connection to one replica."""

    def __init__(self, cluster: PretendCluster, replica: int) -> None:
        self.cluster = cluster
        self.replica = replica
        self.channel = TlsChannel(cluster.sides[replica])
        self.splitter = FrameSplitter()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self.cluster.doors[self.replica].append(self)

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        try:
            plaintext = self.channel.receive(data)
        except Lie:
            self.transport.write(self.channel.take())  # the alert
            self.transport.close()
            return
        if self.channel.waiting:
            self.transport.write(self.channel.take())
        if self.channel.finished:
            self.transport.close()
            return
        for body in self.splitter.feed(plaintext):
            message = decode_to_replica(body)
            if isinstance(message, Ask):
                self.cluster.report(self, message)
            elif isinstance(message, Submit):
                self.cluster.submit(self, message.request)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.cluster.doors[self.replica].remove(self)

    def write(self, message: ToClient) -> None:
        self.send(frame(encode_client_message(message)))

    def send(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(self.channel.encrypt(data))


class PretendCluster:
    """`manners[replica]`: honest, silent, lying, forging, busy, babbling, or deaf (silent even when asked)."""

    def __init__(self, directory: Path, n: int = 4, clients: tuple[str, ...] = ("default",)) -> None:
        self.directory = directory
        self.ports = free_ports(n)
        self.genesis = create_cluster(
            directory,
            name="pretend",
            machine="outvote.machines.key_value:KeyValueStore",
            replicas=n,
            hosts=[f"127.0.0.1:{port}" for port in self.ports],
            clients=clients,
            parameters=Parameters(reads=False),  # nobody executes a read here
        )
        seal_domain = domain(self.genesis.identity(), self.genesis.epoch)
        self.keys = [load_replica_keys(directory, replica, self.genesis) for replica in range(n)]
        self.sealers = [Ed25519Sealer(seal_domain, key.signing) for key in self.keys]
        self.opener = Ed25519Opener(seal_domain, self.genesis.public_keys())
        pinned = PinnedCertificates(self.genesis.certificates())
        self.sides = [TlsSide(pinned.accepting_context(key), pinned, accepting=True) for key in self.keys]
        self.doors: list[list[Door]] = [[] for _ in range(n)]
        self.servers: list[asyncio.Server | None] = [None] * n
        self.manners = ["honest"] * n
        self.executor = Executor(KeyValueStore())
        self.answers: dict[tuple[int, int], ReplyStatement] = {}
        self.requests: list[Request] = []
        self.view = 0

    async def open(self, replica: int) -> None:
        loop = asyncio.get_running_loop()
        self.servers[replica] = await loop.create_server(
            lambda: Door(self, replica), "127.0.0.1", self.ports[replica]
        )

    def shut(self, replica: int) -> None:
        server = self.servers[replica]
        self.servers[replica] = None
        if server is not None:
            server.close()
        for door in list(self.doors[replica]):
            if door.transport is not None:
                door.transport.abort()

    async def __aenter__(self) -> PretendCluster:
        for replica in range(len(self.doors)):
            await self.open(replica)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for replica in range(len(self.doors)):
            self.shut(replica)

    def submit(self, door: Door, request: Request) -> None:
        if self.manners[door.replica] == "busy":
            door.write(Refusal(request.number, "busy: too many requests wait"))
            return
        if request.key not in self.answers:
            if not self.opener.opens(request.claim()):
                door.write(Refusal(request.number, "the seal is not this client's"))
                return
            self.requests.append(request)
            position = len(self.requests)
            [answer] = self.executor.deliver(Delivery(position, position, (request,), self.view, False))
            self.answers[request.key] = answer
            for replica in range(len(self.doors)):
                self.reply(replica, answer)
        else:
            self.reply(door.replica, self.answers[request.key])

    def reply(self, replica: int, answer: ReplyStatement) -> None:
        manner = self.manners[replica]
        if manner == "lying":
            answer = ReplyStatement(
                answer.client, answer.number, answer.position, tuple(LIE for _ in answer.results)
            )
        seal = self.sealers[replica].seal(answer) if manner != "forging" else b"f" * 64
        for door in self.doors[replica]:
            if manner in ("honest", "lying", "forging"):
                door.write(Reply(answer, self.view, seal))
            elif manner == "babbling":
                door.send(b"\xff" * 64)

    def report(self, door: Door, ask: Ask) -> None:
        if self.manners[door.replica] != "deaf":
            standing = Standing(self.view, True, self.view % len(self.doors), len(self.requests), 0, 0, "ordering")
            door.write(Report(ask.nonce, door.replica, "pbft", standing, 0, bytes(32), 0, bytes(32), {"x": 1}))
