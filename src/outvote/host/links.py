"""Everything that a replica says and hears over the network.

Every replica dials every other one and only sends on the connection it dialed; it only receives on those that it
accepted. So no two replicas ever argue about which of two connections is the right one. Frames may be lost with
a connection or a full queue: protocols repeat what matters.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from outvote.configuration.files import PartyKeys
from outvote.configuration.genesis import Genesis
from outvote.crypto.key_exchange import Ceiling
from outvote.errors import Lie
from outvote.host.client_gate import ClientGate
from outvote.host.connection import FrameQueue, SecureConnection
from outvote.host.listener import ClientKeys, Listener, NoClientKeys
from outvote.host.ports import Observer
from outvote.transport.channel import Side
from outvote.transport.sides import Sides
from outvote.types import FIRST_CLIENT, SEAL_BYTES, ClientId, PartyId, ReplicaId
from outvote.wire.client_messages import ToClient, ToReplica
from outvote.wire.frames import FRAME_BYTES_MAX, PREFIX_BYTES

# What waits for one replica. A broadcast body is one object in all queues, so the bytes are mostly shared; at
# worst, with no body shared, 3 peers hold 48 MiB and 99 peers 1.6 GB.
QUEUE_BYTES_MAX: Final = 16 << 20
QUEUE_FRAMES_MAX: Final = 4096

# What nobody waits for leaves with the next frame to anybody, or after so long; at most twice that. Longer than an
# operation takes on a quiet machine, and nothing beside the timeouts of a view.
HOLD_S: Final = 0.02

_DIAL_TIMEOUT_S: Final = 5.0
_RETRY_MIN_S: Final = 0.05
_RETRY_MAX_S: Final = 2.0


class Links:
    """The network of one replica: the Network port, and its life cycle. All calls on the event loop's thread.

    `on_replica_frame(replica, body)`: a whole frame of an authenticated replica, not decoded. `on_client_message
    (client, message)`: decoded and within the limits; seals are not verified. `on_client_lost(client)`: its last
    connection is gone. `on_replica_connected(replica)`: our link to it has come up. Callbacks must not
    raise. `client_keys` is told the keys of clients' authenticators.
    """

    def __init__(
        self,
        genesis: Genesis,
        keys: PartyKeys,
        observer: Observer,
        *,
        on_replica_frame: Callable[[ReplicaId, bytes], None],
        on_client_message: Callable[[ClientId, ToReplica], None],
        on_client_lost: Callable[[ClientId], None] | None = None,
        on_replica_connected: Callable[[ReplicaId], None] | None = None,
        client_keys: ClientKeys | None = None,
        request_seal_bytes: tuple[int, ...] = (SEAL_BYTES,),
        listen: tuple[str, int] | None = None,
        ceiling: Ceiling | None = None,
    ) -> None:
        """`keys`: of this replica. `listen`: an address other than the one in the genesis, which the others dial.
        `ceiling`: of its NEW-KEY counters. Raises Mistake if the TLS files do not work. Needs a running event loop."""
        sides = Sides(genesis, keys, ceiling)
        addresses = genesis.addresses()
        self.me = keys.party
        self._observer = observer
        self._loop = asyncio.get_running_loop()
        self._listen = listen or addresses[self.me]
        self._scheduled = False
        self._unflushed: dict[OutgoingLink, None] = {}
        self._flushes = 0  # of frames to replicas
        self._holding: asyncio.TimerHandle | None = None
        self._dialing: list[asyncio.Task[None]] = []
        self._outgoing: dict[ReplicaId, OutgoingLink] = {
            replica: OutgoingLink(
                replica,
                addresses[replica],
                sides.dialing(replica),
                observer,
                on_replica_connected or _nobody,
                genesis.session_key_seconds,
            )
            for replica in addresses
            if replica != self.me
        }
        self.gate = ClientGate(
            observer,
            on_message=on_client_message,
            on_lost=on_client_lost or _nobody,
            wake=self._flush_soon,
            request_seal_bytes=request_seal_bytes,
        )
        self.listener = Listener(
            sides.accepting(),
            self.me,
            self.gate,
            observer,
            genesis.session_key_seconds,
            client_keys=client_keys or NoClientKeys(),
            on_replica_frame=on_replica_frame,
            on_replica_joined=self._heard_from,
        )

    async def start(self) -> None:
        """Listen, and begin to dial. Raises Mistake if the address cannot be listened on."""
        await self.listener.start(*self._listen)
        self._dialing = [self._loop.create_task(link.keep_up()) for link in self._outgoing.values()]

    async def stop(self) -> None:
        """Hand over what is queued as far as the sockets take it, end all connections, stop listening."""
        self.flush()
        if self._holding is not None:
            self._holding.cancel()
        for task in self._dialing:
            task.cancel()
        await asyncio.gather(*self._dialing, return_exceptions=True)
        self._dialing = []
        await self.listener.stop()

    def send(self, receiver: ReplicaId, body: bytes) -> None:
        """Queue one frame to another replica; it leaves at `flush`, or by itself when the loop pass ends."""
        link = self._outgoing[receiver]
        link.push(body)
        self._unflushed[link] = None
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self.flush)

    def answer(self, client: ClientId, message: ToClient) -> None:
        """Queue one message to all connections of a client."""
        self.gate.answer(client, message)

    def flush_follows(self) -> None:
        """The caller is about to queue frames and to call `flush` itself."""
        self._scheduled = True

    def flush(self, urgent: bool = True) -> None:
        """One write a connection for everything queued since the last flush; clients, who wait, come first. What is not
        urgent waits for the next flush that is, or for HOLD_S to pass."""
        self._scheduled = False
        self.gate.flush()
        if not self._unflushed:
            return
        if not urgent:
            if self._holding is None:
                self._holding = self._loop.call_later(HOLD_S, self._held, self._flushes)
            return
        self._flushes += 1
        unflushed, self._unflushed = self._unflushed, {}
        for link in unflushed:
            if link.connection is not None:
                link.connection.flush()

    def hasten(self) -> None:
        """Frames to replicas leave now; whoever would flush later still does."""
        scheduled = self._scheduled
        self.flush()
        self._scheduled = scheduled

    def _held(self, flushes: int) -> None:
        """HOLD_S after the first frame was held back; if that has left since, newer ones wait once more at most. So a
        timer is set every HOLD_S under load, not for each frame."""
        self._holding = None
        self.flush(urgent=flushes == self._flushes)

    def refresh_keys(self) -> None:
        """Have all session keys agreed on anew: ours for what we send, and those of whoever sends to us."""
        for link in self._outgoing.values():
            link.refresh_keys()
        self.listener.refresh_keys()

    def pause(self, party: PartyId) -> None:
        """Read no more from this party. Of a chunk that has been read already (256 KiB), a replica's frames still come,
        and a client's are dropped."""
        self.listener.hold(party)
        if party >= FIRST_CLIENT:
            self.gate.mute(party)

    def resume(self, party: PartyId) -> None:
        self.gate.unmute(party)
        self.listener.release(party)

    def connected(self) -> tuple[ReplicaId, ...]:
        """Replicas that our frames reach now."""
        return tuple(replica for replica, link in self._outgoing.items() if link.connected)

    def heard(self) -> tuple[ReplicaId, ...]:
        """Replicas whose frames reach us now."""
        return self.listener.connected_replicas()

    def _heard_from(self, replica: ReplicaId) -> None:
        self._outgoing[replica].dial_now()

    def _flush_soon(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self.flush)


class OutgoingLink:
    """Frames to one replica: a bounded queue, and a connection that is dialed again for ever.

    When the queue is full the oldest frames go. The other end is away or slow then, and what it will need is
    where the protocol stands when it is back, not votes of views that have passed.
    """

    def __init__(
        self,
        replica: ReplicaId,
        address: tuple[str, int],
        side: Side,
        observer: Observer,
        on_connected: Callable[[ReplicaId], None],
        refresh_s: float,
    ) -> None:
        self.replica = replica
        self.queue = FrameQueue()
        self.observer = observer
        self._address = address
        self._side = side
        self._refresh_s = refresh_s
        self._on_connected = on_connected
        self._loop = asyncio.get_running_loop()
        self.connection: OutgoingConnection | None = None
        self._wanted = asyncio.Event()

    @property
    def connected(self) -> bool:
        return self.connection is not None

    def push(self, body: bytes) -> None:
        if len(body) > FRAME_BYTES_MAX:
            self.observer.count("frame_too_large")
            self.observer.note(f"a frame of {len(body)} bytes to replica {self.replica} was not sent: too large")
            return
        queue = self.queue
        queue.push(body)
        if queue.bytes_waiting <= QUEUE_FRAMES_MAX * PREFIX_BYTES:
            return  # not even empty frames could be too many
        while len(queue) > QUEUE_FRAMES_MAX or queue.bytes_waiting > QUEUE_BYTES_MAX:
            queue.drop_oldest()
            self.observer.count("frame_dropped")

    def refresh_keys(self) -> None:
        if self.connection is not None:
            self.connection.refresh_keys()

    def dial_now(self) -> None:
        """The other end is alive: do not wait out the pause between two attempts."""
        self._wanted.set()

    def up(self, connection: OutgoingConnection) -> None:
        self.connection = connection
        self.observer.count("link_up")
        self._on_connected(self.replica)

    def down(self, connection: OutgoingConnection) -> None:
        if self.connection is connection:
            self.connection = None
            self.observer.count("link_down")

    async def keep_up(self) -> None:
        """Dial, wait for the end, pause, dial again; until cancelled."""
        pause = _RETRY_MIN_S
        connection: OutgoingConnection | None = None
        try:
            while True:
                self._wanted.clear()
                began = self._loop.time()
                connection = None
                with suppress(OSError, UnicodeError, TimeoutError):
                    async with asyncio.timeout(_DIAL_TIMEOUT_S):
                        _, connection = await self._loop.create_connection(self._dialed, *self._address)
                if connection is not None:
                    await asyncio.wait([connection.ended])
                # A replica that takes our connection and drops it at once is not dialed at full speed for ever.
                if self._loop.time() - began > _RETRY_MAX_S:
                    pause = _RETRY_MIN_S
                await asyncio.sleep(_RETRY_MIN_S)
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause * random.uniform(0.5, 1.0)):
                        await self._wanted.wait()
                pause = min(2 * pause, _RETRY_MAX_S)
        finally:
            if connection is not None:
                connection.close()
                if not connection.ended.done():
                    await asyncio.wait([connection.ended], timeout=1.0)
                connection.abort()

    def _dialed(self) -> OutgoingConnection:
        return OutgoingConnection(self, self._loop, self._side, self._refresh_s)


class OutgoingConnection(SecureConnection):
    """A connection that we made to another replica: only for sending."""

    __slots__ = ("_link",)

    def __init__(
        self,
        link: OutgoingLink,
        loop: asyncio.AbstractEventLoop,
        side: Side,
        refresh_s: float,
    ) -> None:
        super().__init__(loop, side, link.observer, refresh_s)
        self._link = link
        self.queue = link.queue  # outlives the connection

    def joined(self) -> None:
        if self.party != self._link.replica:
            raise Lie(f"this is the address of replica {self._link.replica} in cluster.toml")
        self._link.up(self)

    def received(self, bodies: list[bytes]) -> None:
        raise Lie("frames on a connection that is for sending only")

    def lost(self) -> None:
        self._link.down(self)


def _nobody(_: PartyId) -> None:
    """Nobody wants to know."""
