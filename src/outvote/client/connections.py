"""One TLS connection to each replica, made again and again in the background.

A replica is known by the certificate that cluster.toml names for it, so what arrives on its connection is its own
word, whatever else it is.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from typing import Final, Protocol

import msgspec

from outvote.configuration.files import PartyKeys
from outvote.configuration.genesis import Genesis
from outvote.errors import Lie
from outvote.types import ReplicaId
from outvote.wire.client_messages import (
    OUTSTANDING_MAX,
    REQUEST_BYTES_MAX,
    RESULT_BYTES_MAX,
    ToClient,
    decode_to_client,
)
from outvote.wire.frames import FrameSplitter

CONNECT_TIMEOUT_S: Final = 5.0  # TCP and TLS together
BACKOFF_FIRST_S: Final = 0.1
BACKOFF_MAX_S: Final = 5.0
# A whole window for a replica that does not read; what would come on top is left to the session's repeats.
UNSENT_BYTES_MAX: Final = OUTSTANDING_MAX * REQUEST_BYTES_MAX  # 16 MiB
# Results, 5 bytes before each of 256 of them, and the other fields; a Report's counters fit into the same.
REPLY_BYTES_MAX: Final = RESULT_BYTES_MAX + 64 * 1024


def client_context(genesis: Genesis, keys: PartyKeys) -> ssl.SSLContext:
    """TLS 1.3 that trusts the replicas' own certificates and nobody's signature. Which of them a connection
    shows is compared with the one replica that was meant."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # a pinned certificate says more than a name
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    certificates = genesis.certificates()
    context.load_verify_locations(cadata=b"".join(certificates[replica] for replica in range(genesis.n)))
    context.load_cert_chain(keys.tls_certificate, keys.tls_key)
    return context


class Listener(Protocol):
    """Who owns the connections; called on the event loop."""

    def opened(self, replica: ReplicaId) -> None: ...

    def lost(self, replica: ReplicaId) -> None: ...

    def heard(self, replica: ReplicaId, message: ToClient) -> None: ...


class _Link(asyncio.Protocol):
    """One established connection."""

    def __init__(
        self, links: list[_Link | None], replica: ReplicaId, certificate: bytes, listener: Listener
    ) -> None:
        self.replica = replica
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None
        self.writable = False
        self._links = links  # one a replica; a link is in it while it can be used
        self._certificate = certificate
        self._listener = listener
        self._reader = FrameSplitter(REPLY_BYTES_MAX)
        self._reason = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        session = transport.get_extra_info("ssl_object")
        if session is None or session.getpeercert(binary_form=True) != self._certificate:
            self.abort("it does not show the certificate that cluster.toml names for it")
            return
        transport.set_write_buffer_limits(high=UNSENT_BYTES_MAX)
        self.writable = True
        self._links[self.replica] = self
        self._listener.opened(self.replica)

    def data_received(self, data: bytes) -> None:
        try:
            for body in self._reader.feed(data):
                self._listener.heard(self.replica, decode_to_client(body))
        except (Lie, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self.abort(f"it sent what no correct replica sends: {error}")

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.writable = False
        if not self.ended.done():
            self.ended.set_result(self._reason or _in_words(exc))
        if self._links[self.replica] is self:
            self._links[self.replica] = None
            self._listener.lost(self.replica)

    def abort(self, reason: str) -> None:
        self._reason = self._reason or reason
        self.writable = False
        if self.transport is not None:
            self.transport.abort()


class Connections:
    """Keeps one link to every replica; `problems` says of each that is away what was seen last."""

    def __init__(self, genesis: Genesis, context: ssl.SSLContext, listener: Listener) -> None:
        self._context = context
        self._listener = listener
        self._addresses = genesis.addresses()
        self._certificates = genesis.certificates()
        self._links: list[_Link | None] = [None] * genesis.n
        self._tasks: list[asyncio.Task[None]] = []
        self.problems: dict[ReplicaId, str] = {}

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._keep(replica)) for replica in range(len(self._links))]

    def send(self, replica: ReplicaId, data: bytes) -> bool:
        """Write, unless the replica is away or has not read what it was sent before."""
        link = self._links[replica]
        if link is None or not link.writable or link.transport is None:
            return False
        link.transport.write(data)
        return True

    def is_open(self, replica: ReplicaId) -> bool:
        link = self._links[replica]
        return link is not None and link.writable

    async def close(self) -> None:
        """Flushes what was written, as far as the replicas read."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        links = [link for link in self._links if link is not None]
        for link in links:
            if link.transport is not None:
                link.transport.close()
        if links:
            await asyncio.wait([link.ended for link in links], timeout=1.0)
        for link in links:
            link.abort("closed")

    async def _keep(self, replica: ReplicaId) -> None:
        backoff = BACKOFF_FIRST_S
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            self.problems[replica] = await self._once(replica)
            if loop.time() - began > BACKOFF_MAX_S:  # it held for a while: this is a new trouble
                backoff = BACKOFF_FIRST_S
            await asyncio.sleep(backoff * random.uniform(0.5, 1.0))
            backoff = min(2 * backoff, BACKOFF_MAX_S)

    async def _once(self, replica: ReplicaId) -> str:
        """Connect, wait for the end, and say why it ended."""
        loop = asyncio.get_running_loop()
        host, port = self._addresses[replica]
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, link = await loop.create_connection(
                    lambda: _Link(self._links, replica, self._certificates[replica], self._listener),
                    host,
                    port,
                    ssl=self._context,
                    server_hostname="",
                )
        except TimeoutError:
            return f"no connection to {host}:{port} within {CONNECT_TIMEOUT_S:g} s"
        except ConnectionRefusedError:
            return f"nobody listens at {host}:{port}"
        except OSError as error:
            return f"{host}:{port}: {_in_words(error)}"
        return f"{host}:{port}: {await link.ended}"


def _in_words(error: BaseException | None) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return "it does not show the certificate that cluster.toml names for it"
    if isinstance(error, ssl.SSLError):
        if "ALERT" in (error.reason or ""):
            return "it does not accept this client's certificate: is the client in its cluster.toml?"
        return f"TLS failed ({error.reason})"
    if isinstance(error, OSError):
        return error.strerror or "the connection failed"
    return "the connection was closed"
