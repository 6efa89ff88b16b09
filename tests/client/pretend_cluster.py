"""A cluster in one event loop: real TLS, real seals and a real state machine, with the agreement left out.

The first replica to receive a request executes it for all; then each replica answers in its own manner.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path
from types import TracebackType
from typing import Final

from outvote.configuration.files import create_cluster, load_replica_keys
from outvote.core.contract import Request, Standing
from outvote.crypto.seals import Ed25519Opener, Ed25519Sealer, domain
from outvote.machines.contract import Context
from outvote.machines.key_value import KeyValueStore
from outvote.machines.operations import encode_done
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


def server_context(keys_directory: Path, trusted: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(keys_directory / "tls.crt", keys_directory / "tls.key")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=trusted)
    return context


class Door(asyncio.Protocol):
    """One client's connection to one replica."""

    def __init__(self, cluster: PretendCluster, replica: int) -> None:
        self.cluster = cluster
        self.replica = replica
        self.splitter = FrameSplitter()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.cluster.doors[self.replica].append(self)

    def data_received(self, data: bytes) -> None:
        for body in self.splitter.feed(data):
            message = decode_to_replica(body)
            if isinstance(message, Ask):
                self.cluster.report(self, message)
            elif isinstance(message, Submit):
                self.cluster.submit(self, message.request)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.cluster.doors[self.replica].remove(self)

    def write(self, message: ToClient) -> None:
        if self.transport is not None:
            self.transport.write(frame(encode_client_message(message)))


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
        )
        seal_domain = domain(self.genesis.identity(), self.genesis.epoch)
        keys = [load_replica_keys(directory, replica, self.genesis) for replica in range(n)]
        self.sealers = [Ed25519Sealer(seal_domain, key.signing) for key in keys]
        self.opener = Ed25519Opener(seal_domain, self.genesis.public_keys())
        self.trusted = self.genesis.certificates()
        self.doors: list[list[Door]] = [[] for _ in range(n)]
        self.servers: list[asyncio.Server | None] = [None] * n
        self.manners = ["honest"] * n
        self.machine = KeyValueStore()
        self.answers: dict[tuple[int, int], ReplyStatement] = {}
        self.requests: list[Request] = []
        self.view = 0

    async def open(self, replica: int) -> None:
        certificates = b"".join(der for party, der in self.trusted.items() if party >= len(self.doors))
        context = server_context(self.directory / f"replica-{replica}", certificates)
        loop = asyncio.get_running_loop()
        self.servers[replica] = await loop.create_server(
            lambda: Door(self, replica), "127.0.0.1", self.ports[replica], ssl=context
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
            context = Context(position, position, request.client, b"")
            results = tuple(self.machine.apply(operation, context) for operation in request.operations)
            answer = ReplyStatement(request.client, request.number, position, results)
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
            elif manner == "babbling" and door.transport is not None:
                door.transport.write(b"\xff" * 64)

    def report(self, door: Door, ask: Ask) -> None:
        if self.manners[door.replica] != "deaf":
            standing = Standing(self.view, True, self.view % len(self.doors), len(self.requests), 0, 0, "ordering")
            door.write(Report(ask.nonce, door.replica, "pbft", standing, 0, bytes(32), 0, bytes(32), {"x": 1}))
