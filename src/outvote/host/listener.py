"""The one listening port of a replica: other replicas and clients arrive here, told apart by the keys they prove.

A stranger costs a socket and a timer until it has proven a key, and there is a bound on both. Nothing it does
is seen by anybody but the observer.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final, Protocol, cast

from outvote.crypto.key_exchange import SessionKeys
from outvote.errors import Lie, Mistake
from outvote.host.client_gate import CLIENT_FRAME_BYTES_MAX, ClientGate
from outvote.host.connection import SecureConnection
from outvote.host.ports import Observer
from outvote.transport.channel import Side
from outvote.types import FIRST_CLIENT, ClientId, PartyId, ReplicaId
from outvote.wire.frames import FrameSplitter

# When this many handshakes are under way the oldest is dropped, not the newcomer refused: an honest handshake
# takes milliseconds, so the oldest is whoever opened a connection to say nothing.
HANDSHAKES_MAX: Final = 128

# A handshake costs us 0.5 ms of CPU, so strangers get at most a tenth of a core. A burst lets 400 honest parties
# reconnect at once after an outage.
ACCEPTED_PER_SECOND: Final = 200
ACCEPTED_BURST: Final = 400


# Also the most that asyncio accepts in one loop pass, before `Arrivals` sees them: 838 descriptors (see
# client_gate.py) and these stay below the usual 1024.
_BACKLOG: Final = 100


class Arrivals:
    """How many more connections may be accepted now: a bucket that fills at a steady rate."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = 0.0

    def admit(self, now: float) -> bool:
        """`now` in seconds, never running backwards."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class ClientKeys(Protocol):
    """Keeps what the authenticators of clients' requests are made under: one key a connection."""

    def renew(self, client: ClientId, session: int, key: bytes) -> None: ...

    def forget(self, client: ClientId, session: int) -> None: ...


class NoClientKeys:
    """For the form with signatures."""

    def renew(self, client: ClientId, session: int, key: bytes) -> None:
        """Nobody checks authenticators."""

    def forget(self, client: ClientId, session: int) -> None:
        """Nobody checks authenticators."""


class Listener:
    """Accepts, bounds, and hands over to the replica callback or the client gate."""

    def __init__(
        self,
        side: Side,
        me: ReplicaId,
        gate: ClientGate,
        observer: Observer,
        refresh_s: float,
        *,
        client_keys: ClientKeys,
        on_replica_frame: Callable[[ReplicaId, bytes], None],
        on_replica_joined: Callable[[ReplicaId], None],
    ) -> None:
        self.gate = gate
        self.observer = observer
        self.me = me
        self._side = side
        self._refresh_s = refresh_s
        self._client_keys = client_keys
        self._numbers = 0  # of connections
        self._on_replica_frame = on_replica_frame
        self._on_replica_joined = on_replica_joined
        self._loop = asyncio.get_running_loop()
        self._arrivals = Arrivals(ACCEPTED_PER_SECOND, ACCEPTED_BURST)
        self._live: dict[Arrival, None] = {}
        self._unproven: dict[Arrival, None] = {}  # oldest first
        self._replicas: dict[ReplicaId, Arrival] = {}
        self._held: dict[PartyId, None] = {}
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> None:
        """Raises Mistake, naming host and port, if they cannot be listened on."""
        try:
            self._server = await self._loop.create_server(
                self._arrive, host, port, reuse_address=True, backlog=_BACKLOG
            )
        except socket.gaierror as error:
            raise Mistake(
                f"replica {self.me} cannot listen on {host}:{port}: the host is unknown here ({error.strerror}); "
                "correct the host in cluster.toml"
            ) from None
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise Mistake(
                f"replica {self.me} cannot listen on {host}:{port}: {reason}; stop the program that uses the "
                "port, or give the replica another address in cluster.toml"
            ) from None

    async def stop(self) -> None:
        """Stop accepting, end every connection in order, and wait until they are gone."""
        if self._server is not None:
            self._server.close()
        live = tuple(self._live)
        for connection in live:
            connection.flush()
            connection.close()
        if live:
            _, lingering = await asyncio.wait([connection.ended for connection in live], timeout=1.0)
            if lingering:
                for connection in live:
                    if not connection.ended.done():
                        connection.abort()
                await asyncio.wait(lingering, timeout=1.0)
        if self._server is not None:
            await self._server.wait_closed()

    def hold(self, party: PartyId) -> None:
        """Read nothing more from this party until `release`."""
        self._held[party] = None
        for connection in self._connections_of(party):
            connection.stop_reading()

    def release(self, party: PartyId) -> None:
        if party in self._held:
            del self._held[party]
            for connection in self._connections_of(party):
                connection.read_on()

    def connected_replicas(self) -> tuple[ReplicaId, ...]:
        """Replicas that have a connection to us."""
        return tuple(sorted(self._replicas))

    def joined(self, connection: Arrival) -> None:
        """A connection has proven who it is."""
        self._unproven.pop(connection, None)
        party = connection.party
        if party == self.me:
            raise Lie("somebody uses this replica's own key")
        if party >= FIRST_CLIENT:
            connection.splitter = FrameSplitter(CLIENT_FRAME_BYTES_MAX)
            self.gate.joined(connection)
        else:
            # The newest wins: the older one may be a leftover whose other end is long gone.
            older = self._replicas.get(party)
            self._replicas[party] = connection
            if older is not None:
                self.observer.count("replica_connection_replaced")
                older.abort()
            self._on_replica_joined(party)
        if party in self._held:
            connection.stop_reading()

    def renewed(self, connection: Arrival, keys: SessionKeys) -> None:
        """A party that dialed us has new session keys."""
        if connection.party >= FIRST_CLIENT:
            self._client_keys.renew(connection.party, connection.number, keys.requests)

    def refresh_keys(self) -> None:
        for connection in tuple(self._live):
            connection.refresh_keys()

    def received(self, connection: Arrival, bodies: list[bytes]) -> None:
        if connection.party >= FIRST_CLIENT:
            self.gate.received(connection, bodies)
            return
        on_frame, replica = self._on_replica_frame, connection.party
        for body in bodies:
            if not connection.open:
                return
            on_frame(replica, body)

    def left(self, connection: Arrival) -> None:
        self._live.pop(connection, None)
        self._unproven.pop(connection, None)
        if connection.party >= FIRST_CLIENT:
            self._client_keys.forget(connection.party, connection.number)
            self.gate.left(connection)
        elif self._replicas.get(connection.party) is connection:
            del self._replicas[connection.party]

    def arrived(self, connection: Arrival) -> bool:
        """A stranger has connected; whether it may stay."""
        if not self._arrivals.admit(self._loop.time()):
            self.observer.count("connection_refused")
            return False
        if len(self._unproven) >= HANDSHAKES_MAX:
            oldest = next(iter(self._unproven))
            del self._unproven[oldest]
            self.observer.count("handshake_dropped")
            oldest.abort()
        self._live[connection] = None
        self._unproven[connection] = None
        return True

    def _arrive(self) -> Arrival:
        self._numbers += 1
        return Arrival(self, self._loop, self._side, self._refresh_s, self._numbers)

    def _connections_of(self, party: PartyId) -> tuple[SecureConnection, ...]:
        if party >= FIRST_CLIENT:
            return self.gate.connections(party)
        connection = self._replicas.get(party)
        return () if connection is None else (connection,)


class Arrival(SecureConnection):
    """A connection that somebody made to us."""

    __slots__ = ("_listener", "number")

    def __init__(
        self, listener: Listener, loop: asyncio.AbstractEventLoop, side: Side, refresh_s: float, number: int
    ) -> None:
        super().__init__(loop, side, listener.observer, refresh_s)
        self.number = number
        self._listener = listener

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._listener.arrived(self):
            super().connection_made(transport)
        else:
            self.open = False
            cast(asyncio.Transport, transport).abort()

    def joined(self) -> None:
        self._listener.joined(self)

    def renewed(self, keys: SessionKeys) -> None:
        self._listener.renewed(self, keys)

    def received(self, bodies: list[bytes]) -> None:
        self._listener.received(self, bodies)

    def lost(self) -> None:
        self._listener.left(self)
