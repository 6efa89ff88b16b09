"""Client connections: who is connected, what may come in, what goes out.

A client is a stranger with a key. It can fill its own bounded buffers, earn refusals and lose its connections;
it cannot make this replica hold more than the limits below, and other clients never notice it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from outvote.core.contract import Request
from outvote.host.connection import SecureConnection
from outvote.host.ports import Observer
from outvote.types import SEAL_BYTES, ClientId
from outvote.wire.client_messages import (
    OPERATIONS_MAX,
    OUTSTANDING_MAX,
    REQUEST_BYTES_MAX,
    Refusal,
    Submit,
    ToClient,
    ToReplica,
    decode_to_replica,
    encode_client_message,
)

# Twice the largest request, so that one slightly too large still gets a sentence instead of a closed connection.
# Unfinished frames hold at most 512 connections * 512 KiB = 256 MiB, from 64 clients that all misbehave.
CLIENT_FRAME_BYTES_MAX: Final = 2 * REQUEST_BYTES_MAX
CONNECTIONS_MAX: Final = 512  # of all clients; with 99 replicas twice and 128 handshakes: 838 < 1024 descriptors
CONNECTIONS_PER_CLIENT_MAX: Final = 8  # processes that share one key; all of them get all answers
UNREAD_BYTES_MAX: Final = 8 << 20  # 32 of the largest replies; a client that reads so little is not there
MALFORMED_MAX: Final = 20  # messages on one connection that no correct client would send

# What the decoder can raise for hostile bytes: malformed or mistyped, nested too deep, not UTF-8.
_MALFORMED = (msgspec.DecodeError, RecursionError, UnicodeDecodeError, OverflowError)


class ClientGate:
    """All client connections of one replica."""

    __slots__ = (
        "_connections", "_count", "_malformed", "_muted", "_observer", "_on_lost", "_on_message", "_request_seal_bytes",
        "_unflushed", "_wake",
    )

    def __init__(
        self,
        observer: Observer,
        *,
        on_message: Callable[[ClientId, ToReplica], None],
        on_lost: Callable[[ClientId], None],
        wake: Callable[[], None],
        request_seal_bytes: tuple[int, ...] = (SEAL_BYTES,),
    ) -> None:
        """`on_message`: an admitted message; `on_lost`: a client's last connection is gone; `wake`: see to it
        that `flush` is called in this loop pass; `request_seal_bytes`: lengths that a request's seal may have."""
        self._observer = observer
        self._on_message = on_message
        self._on_lost = on_lost
        self._wake = wake
        self._request_seal_bytes = request_seal_bytes
        self._connections: dict[ClientId, list[SecureConnection]] = {}
        self._count = 0
        self._malformed: dict[SecureConnection, int] = {}
        self._unflushed: dict[SecureConnection, None] = {}
        self._muted: dict[ClientId, None] = {}

    def mute(self, client: ClientId) -> None:
        """Take no notice of what it sends until `unmute`: it asks again, if it is honest."""
        self._muted[client] = None

    def unmute(self, client: ClientId) -> None:
        self._muted.pop(client, None)

    def joined(self, connection: SecureConnection) -> None:
        """A client has proven who it is."""
        if self._count >= CONNECTIONS_MAX:
            self._observer.count("client_connection_refused")
            connection.queue.push(
                encode_client_message(Refusal(0, f"this replica serves {CONNECTIONS_MAX} connections already"))
            )
            connection.flush()
            connection.close()
            return
        siblings = self._connections.setdefault(connection.party, [])
        if len(siblings) >= CONNECTIONS_PER_CLIENT_MAX:
            # The oldest goes: after a crash or a broken network, it is the one that nobody holds any more.
            self._observer.count("client_connection_replaced")
            oldest = siblings[0]
            oldest.abort()
            self.left(oldest)
        siblings.append(connection)
        self._count += 1

    def left(self, connection: SecureConnection) -> None:
        """A connection is over; harmless if it never joined or has left already."""
        siblings = self._connections.get(connection.party, [])
        self._malformed.pop(connection, None)
        self._unflushed.pop(connection, None)
        if connection not in siblings:
            return
        siblings.remove(connection)
        self._count -= 1
        if not siblings:
            del self._connections[connection.party]
            self._on_lost(connection.party)

    def received(self, connection: SecureConnection, bodies: list[bytes]) -> None:
        """Frames of a client: pass on what may enter, answer what may not."""
        client = connection.party
        for body in bodies:
            if not connection.open:
                return
            if client in self._muted:
                self._observer.count("client_messages_muted", len(bodies))
                return
            try:
                message = decode_to_replica(body)
            except _MALFORMED as error:
                self._complain(connection, f"not a message: {str(error)[:200]}")
                continue
            if isinstance(message, Submit):
                request = message.request
                if request.client != client:
                    self._complain(connection, f"a request in the name of client {request.client}")
                    continue
                reason = refusal_reason(request, self._request_seal_bytes)
                if reason:
                    self._observer.count("client_request_refused")
                    self._send(connection, encode_client_message(Refusal(request.number, reason)))
                    continue
            self._on_message(client, message)

    def answer(self, client: ClientId, message: ToClient) -> None:
        """To all connections of the client; leaves when the loop pass ends. Dropped if there is none: the client
        asks again, and finds the answer in the replicated state."""
        connections = self._connections.get(client)
        if connections:
            body = encode_client_message(message)
            for connection in tuple(connections):
                self._send(connection, body)

    def flush(self) -> None:
        """Send what was answered: one write a connection."""
        if self._unflushed:
            unflushed, self._unflushed = self._unflushed, {}
            for connection in unflushed:
                connection.flush()

    def connections(self, client: ClientId) -> tuple[SecureConnection, ...]:
        """The open connections of a client."""
        return tuple(self._connections.get(client, ()))

    def _send(self, connection: SecureConnection, body: bytes) -> None:
        if not connection.open:
            return
        connection.queue.push(body)
        if connection.bytes_unsent > UNREAD_BYTES_MAX:
            self._observer.count("client_dropped_unread")
            self._observer.note(f"client {connection.party} does not read its answers: connection dropped")
            connection.abort()
            self.left(connection)
            return
        self._unflushed[connection] = None
        self._wake()

    def _complain(self, connection: SecureConnection, text: str) -> None:
        count = self._malformed.get(connection, 0) + 1
        self._malformed[connection] = count
        self._observer.lie(connection.party, "client", text)
        if count < MALFORMED_MAX:
            self._send(connection, encode_client_message(Refusal(0, text)))
            return
        last = Refusal(0, f"{MALFORMED_MAX} malformed messages on one connection: it is closed")
        connection.queue.push(encode_client_message(last))
        connection.flush()
        connection.close()


def refusal_reason(request: Request, seal_bytes: tuple[int, ...] = (SEAL_BYTES,)) -> str:
    """Why a well-formed request may not enter; empty if it may. Needs no state: the client's own numbers tell how
    many of its requests it has not acknowledged."""
    if not 0 <= request.acknowledged < request.number:
        return "a request's number must be at least 1 and above what it acknowledges"
    if request.number - request.acknowledged > OUTSTANDING_MAX:
        return f"more than {OUTSTANDING_MAX} requests are not acknowledged: wait for answers first"
    if not 1 <= len(request.operations) <= OPERATIONS_MAX:
        return f"a request has 1 to {OPERATIONS_MAX} operations, not {len(request.operations)}: split it"
    size = request.size_bytes() - len(request.seal) + SEAL_BYTES  # an authenticator's length is not the client's fault
    if size > REQUEST_BYTES_MAX:
        return f"a request has at most {REQUEST_BYTES_MAX} bytes, not {size}: split it"
    if len(request.seal) not in seal_bytes:
        expected = " or ".join(str(length) for length in seal_bytes)
        return f"a request's seal has {expected} bytes, not {len(request.seal)}"
    return ""
