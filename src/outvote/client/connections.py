"""One connection to each replica, made again and again in the background.

A replica is known by the certificate or the key that cluster.toml names for it, so what arrives on its connection is
its own word, whatever else it is.
"""

from __future__ import annotations

import asyncio
import random
from typing import Final, Protocol, cast

import msgspec

from outvote.configuration.files import PartyKeys
from outvote.configuration.genesis import Genesis
from outvote.crypto.key_exchange import SessionKeys
from outvote.errors import Lie, OtherVersion
from outvote.transport.sides import Sides
from outvote.transport.sockets import tune
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


REJECTION: Final = "it does not accept this client's certificate"


class Listener(Protocol):
    """Who owns the connections; called on the event loop."""

    def opened(self, replica: ReplicaId) -> None: ...

    def lost(self, replica: ReplicaId) -> None: ...

    def keyed(self, replica: ReplicaId, key: bytes) -> None: ...  # of this replica's entry in authenticators

    def heard(self, replica: ReplicaId, message: ToClient) -> None: ...


class _Link(asyncio.Protocol):
    """One connection, from TCP to its end."""

    def __init__(self, owner: Connections, replica: ReplicaId) -> None:
        self.replica = replica
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()  # or ended before
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()  # and why
        self.usable = False  # the replica has proven who it is, and reads what it is sent
        self._owner = owner
        self._channel = owner.sides[replica].open()
        self._keys: SessionKeys | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._splitter = FrameSplitter(REPLY_BYTES_MAX)
        self._transport: asyncio.Transport | None = None
        self._met = False
        self._reason = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._transport.set_write_buffer_limits(high=UNSENT_BYTES_MAX)
        tune(self._transport.get_extra_info("socket"))
        self.data_received(b"")  # the side that dials speaks first

    def data_received(self, data: bytes) -> None:
        channel = self._channel
        try:
            plaintext = channel.receive(data)
            if not self._met and channel.established:
                self._meet()
            if channel.keys is not self._keys and channel.keys is not None:
                self._renewed(channel.keys)
            if channel.waiting and self._transport is not None:
                self._transport.write(channel.take())
            if plaintext:
                for body in self._splitter.feed(plaintext):
                    self._owner.listener.heard(self.replica, decode_to_client(body))
            if channel.finished:
                self.abort("the replica closed the connection")
        except (Lie, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self.abort(str(error) if isinstance(error, OtherVersion) else self._in_words(str(error)))

    def _meet(self) -> None:
        if self._channel.identity() != self.replica:
            raise Lie("another replica's certificate")
        self._met = self.usable = True
        self._owner.links[self.replica] = self
        self.begun.set_result(None)
        self._owner.listener.opened(self.replica)

    def _renewed(self, keys: SessionKeys) -> None:
        self._keys = keys
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._owner.refresh_s, self.refresh_keys)
        self._owner.listener.keyed(self.replica, keys.requests)

    def refresh_keys(self) -> None:
        """Have session keys agreed on anew; a replica that does not answer will end the connection itself."""
        self._channel.refresh()
        if self._channel.waiting and self._transport is not None:
            self._transport.write(self._channel.take())

    def _in_words(self, text: str) -> str:
        if " alert " in text:
            return f"{REJECTION}: is it in the replica's cluster.toml? ({text})"
        if not self._met:
            return f"it does not prove the key that cluster.toml names for it ({text})"
        return f"it sent what no correct replica sends: {text}"

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(self._channel.encrypt(data))

    def pause_writing(self) -> None:
        self.usable = False

    def resume_writing(self) -> None:
        self.usable = self._met

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        if self._timer is not None:
            self._timer.cancel()
        if not self.begun.done():
            self.begun.set_result(None)
        if not self.ended.done():
            self.ended.set_result(self._reason or "the connection was closed")
        if self._owner.links[self.replica] is self:
            self._owner.links[self.replica] = None
            self._owner.listener.lost(self.replica)

    def close(self) -> None:
        """In order: what was written still leaves."""
        if self._transport is not None and not self._transport.is_closing():
            self._channel.goodbye()
            self._transport.write(self._channel.take())
            self._transport.close()

    def abort(self, reason: str) -> None:
        self._reason = self._reason or reason
        self._met = self.usable = False
        if self._transport is not None:
            self._transport.abort()


class Connections:
    """Keeps one link to every replica; `problems` says of each that is away what was seen last."""

    def __init__(self, genesis: Genesis, keys: PartyKeys, listener: Listener) -> None:
        sides = Sides(genesis, keys)
        self.sides = [sides.dialing(replica) for replica in range(genesis.n)]
        self.refresh_s = genesis.session_key_seconds
        self.listener = listener
        self.links: list[_Link | None] = [None] * genesis.n  # a link is in it from the handshake to the end
        self.problems: dict[ReplicaId, str] = {}
        self._addresses = genesis.addresses()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._keep(replica)) for replica in range(len(self.links))]

    def send(self, replica: ReplicaId, data: bytes) -> bool:
        """Write, unless the replica is away or has not read what it was sent before."""
        link = self.links[replica]
        if link is None or not link.usable:
            return False
        link.write(data)
        return True

    def is_open(self, replica: ReplicaId) -> bool:
        link = self.links[replica]
        return link is not None and link.usable

    def refresh_keys(self) -> None:
        """Have all session keys agreed on anew, now."""
        for link in self.links:
            if link is not None:
                link.refresh_keys()

    async def close(self) -> None:
        """Flushes what was written, as far as the replicas read."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        links = [link for link in self.links if link is not None]
        for link in links:
            link.close()
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
        link = _Link(self, replica)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await loop.create_connection(lambda: link, host, port)
                await asyncio.shield(link.begun)
            return f"{host}:{port}: {await asyncio.shield(link.ended)}"
        except TimeoutError:
            link.abort("too slow")
            return f"no connection to {host}:{port} within {CONNECT_TIMEOUT_S:g} s"
        except ConnectionRefusedError:
            return f"nobody listens at {host}:{port}"
        except (OSError, UnicodeError) as error:  # UnicodeError: a host that can be no domain name
            return f"{host}:{port}: {getattr(error, 'strerror', None) or error}"
        finally:
            if not link.begun.done():
                link.abort("closed")
