"""One connection: a safe channel below, frames above. What a connection means is decided by its two subclasses' owners.

Whatever the other end sends can end its own connection and nothing else: every fault is a Lie, caught here,
told to the observer, and never seen by the event loop.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import deque
from typing import Final, cast

from outvote.crypto.key_exchange import SessionKeys
from outvote.errors import Lie
from outvote.host.ports import Observer
from outvote.transport.channel import Side
from outvote.transport.sockets import tune
from outvote.types import PartyId
from outvote.wire.frames import PREFIX_BYTES, FrameSplitter

NOBODY: Final = -1  # the party of an observer's `lie` while the other end has not proven who it is

HANDSHAKE_TIMEOUT_S: Final = 5.0  # from accepting to knowing who it is, however busily bytes trickle in
REFRESH_WITHIN_S: Final = 10.0  # from asking for new session keys to having them
_GOODBYE_TIMEOUT_S: Final = 5.0  # for the other end to read our last words
_WRITE_BYTES: Final = 256 * 1024  # joined, encrypted and written at a time
_SOCKET_BUFFER_BYTES: Final = 1024 * 1024  # waiting in the transport before we keep frames in our own queue


class FrameQueue:
    """Frames that wait for their connection, oldest first."""

    __slots__ = ("_bodies", "bytes_waiting")

    def __init__(self) -> None:
        self._bodies: deque[bytes] = deque()
        self.bytes_waiting = 0  # 0 if and only if nothing waits, since every frame has a prefix

    def __len__(self) -> int:
        return len(self._bodies)

    def push(self, body: bytes) -> None:
        self._bodies.append(body)
        self.bytes_waiting += len(body) + PREFIX_BYTES

    def drop_oldest(self) -> None:
        self.bytes_waiting -= len(self._bodies.popleft()) + PREFIX_BYTES

    def take(self, bytes_max: int) -> bytes:
        """The oldest frames, prefixed and joined: as many as fit, and one at least if any waits."""
        bodies = self._bodies
        parts: list[bytes] = []
        if self.bytes_waiting <= bytes_max:  # all of them, as nearly always
            for body in bodies:
                parts += (len(body).to_bytes(PREFIX_BYTES, "big"), body)
            bodies.clear()
            self.bytes_waiting = 0
            return b"".join(parts)
        size = 0
        while bodies and (not size or size + len(bodies[0]) + PREFIX_BYTES <= bytes_max):
            body = bodies.popleft()
            size += len(body) + PREFIX_BYTES
            parts += (len(body).to_bytes(PREFIX_BYTES, "big"), body)
        self.bytes_waiting -= size
        return b"".join(parts)


class SecureConnection(asyncio.Protocol):
    """A channel and frames over one TCP connection."""

    __slots__ = (
        "_channel",
        "_keys",
        "_loop",
        "_observer",
        "_paused",
        "_refresh_s",
        "_timer",
        "_transport",
        "address",
        "ended",
        "open",
        "party",
        "queue",
        "splitter",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        side: Side,
        observer: Observer,
        refresh_s: float,
    ) -> None:
        """`refresh_s`: session keys, if the channel has any, are agreed on anew that often."""
        self._loop = loop
        self._channel = side.open()
        self._keys: SessionKeys | None = None
        self._refresh_s = refresh_s
        self._observer = observer
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._paused = False
        self.address = "?"
        self.party: PartyId = NOBODY
        self.open = True  # False as soon as either end has given the connection up
        self.ended: asyncio.Future[None] = loop.create_future()
        self.queue = FrameQueue()
        self.splitter = FrameSplitter()

    @abstractmethod
    def joined(self) -> None:
        """`party` has proven who it is. Raises Lie if it should not be here."""

    def renewed(self, keys: SessionKeys) -> None:
        """The first session keys of the channel, before `joined`, or newer ones, which the old ones give way to.
        Raises Lie if the party should have none."""

    @abstractmethod
    def received(self, bodies: list[bytes]) -> None:
        """Whole frames have come. Raises Lie if they are none that belong here."""

    @abstractmethod
    def lost(self) -> None:
        """The connection is over; called once, also if nobody was ever authenticated."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=_SOCKET_BUFFER_BYTES)
        tune(self._transport.get_extra_info("socket"))
        peer = self._transport.get_extra_info("peername")
        self.address = f"{peer[0]}:{peer[1]}" if peer else "?"
        self._timer = self._loop.call_later(HANDSHAKE_TIMEOUT_S, self._handshake_overdue)
        self._advance(b"")  # the dialing side speaks first

    def data_received(self, data: bytes) -> None:
        if not self.open:
            return
        if self.party == NOBODY:
            self._advance(data)
            return
        channel = self._channel
        try:
            bodies = self.splitter.feed(channel.receive(data))
            if channel.news:
                self._heed()
            if bodies and self.open:
                self.received(bodies)
        except Lie as lie:
            self.lied("link", str(lie))
            return
        if channel.finished:
            self.close()

    def _heed(self) -> None:
        """What the channel has to say and to show besides plaintext."""
        channel = self._channel
        if channel.waiting:
            self._write(channel.take())
        if channel.keys is not self._keys and channel.keys is not None:
            self._take_keys(channel.keys)

    def _advance(self, data: bytes) -> None:
        """Towards knowing who it is; with it, perhaps, its first frames."""
        channel = self._channel
        try:
            plaintext = channel.receive(data)
            if channel.waiting:
                self._write(channel.take())
            if not channel.established:
                return
            self._stop_timer()
            self.party = channel.identity()
            if channel.keys is not None:
                self._take_keys(channel.keys)
            self.joined()
            self.flush()
            if plaintext and self.open:
                bodies = self.splitter.feed(plaintext)
                if bodies:
                    self.received(bodies)
        except Lie as lie:
            self.lied("link", str(lie))
            return
        if channel.finished:
            self.close()

    def refresh_keys(self) -> None:
        """Have session keys agreed on anew, now; nothing happens on a channel without any."""
        if self.open and self.party != NOBODY:
            self._channel.refresh()
            if self._channel.waiting:
                self._write(self._channel.take())

    def _take_keys(self, keys: SessionKeys) -> None:
        self._keys = keys
        self._observer.count("session_keys")
        self._stop_timer()
        self._timer = self._loop.call_later(self._refresh_s, self._refresh_due)
        self.renewed(keys)

    def _refresh_due(self) -> None:
        """Ask for new keys; whoever does not come to them in time speaks to us no longer."""
        self.refresh_keys()
        self._timer = self._loop.call_later(REFRESH_WITHIN_S, self._refresh_overdue)

    def _refresh_overdue(self) -> None:
        if self.open:
            self.lied("link", f"its session keys are older than {self._refresh_s:g} s")

    def lied(self, kind: str, text: str) -> None:
        """Tell the observer and end the connection."""
        whom = "" if self.party == NOBODY else f" of party {self.party}"
        self._observer.lie(self.party, kind, f"connection{whom} with {self.address}: {text}")
        self.close()

    def flush(self) -> None:
        """Send what waits in the queue, as far as the socket takes it; joined, so that a loop pass is one write."""
        queue = self.queue
        while queue.bytes_waiting and self.open and not self._paused and self.party != NOBODY:
            self._write(self._channel.encrypt(queue.take(_WRITE_BYTES)))

    @property
    def bytes_unsent(self) -> int:
        """Frames in our queue and ciphertext that the kernel has not taken yet."""
        waiting = self._transport.get_write_buffer_size() if self._transport is not None else 0
        return self.queue.bytes_waiting + waiting

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self.flush()

    def stop_reading(self) -> None:
        """Let the kernel's window push back on the other end; what has been read is still handed over."""
        if self._transport is not None and self.open:
            self._transport.pause_reading()

    def read_on(self) -> None:
        if self._transport is not None and self.open:
            self._transport.resume_reading()

    def close(self) -> None:
        """End in order: what was written is still delivered if the other end reads."""
        if self.open and self._transport is not None:
            self._channel.goodbye()
            self._write(self._channel.take())
            self.open = False
            self._stop_timer()
            self._timer = self._loop.call_later(_GOODBYE_TIMEOUT_S, self._transport.abort)
            self._transport.close()

    def abort(self) -> None:
        """End now, whatever was written."""
        self.open = False
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.open and self.party != NOBODY and self._channel.cut:
            self._observer.count("record_cut")
        self.open = False
        self._stop_timer()
        self._transport = None  # aborting one that is gone would end it a second time
        self.lost()
        if not self.ended.done():
            self.ended.set_result(None)

    def _write(self, data: bytes) -> None:
        transport = self._transport
        if data and transport is not None and not transport.is_closing():
            transport.write(data)

    def _handshake_overdue(self) -> None:
        if self.open and self.party == NOBODY:
            self.lied("link", f"no handshake within {HANDSHAKE_TIMEOUT_S:g} s")
            self.abort()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

