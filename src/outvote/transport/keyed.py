"""A channel with session keys of our own: alone on plain TCP, or above TLS.

On plain TCP every record carries a MAC of 16 bytes (keyed BLAKE2b) over its direction's count of records, its header
and its body: a record that was replayed, reordered, left out, altered or sent back where it came from is refused, and
the connection ends. Nothing is secret there. Above TLS, which does all that, records carry no MAC, and the keys serve
the authenticators of requests alone.

    record: kind (1 byte) | length of the body (3 bytes) | body | MAC (16 bytes, on plain TCP, once there are keys)

Keys come from crypto/key_exchange.py, first when the connection begins and again at each refresh. An answer is the last
record under the old key of its direction and a proof the last one of the other, so the stream itself says where the
old keys end, nothing is lost, and what is recorded under them is refused afterwards.
"""

from __future__ import annotations

import time
from hashlib import blake2b
from hmac import compare_digest
from typing import Any, Final

from outvote.crypto.authenticators import MAC_BYTES
from outvote.crypto.key_exchange import EXCHANGE_BYTES_MAX, AcceptingExchange, DialingExchange, Identity, SessionKeys
from outvote.errors import Lie
from outvote.transport.tls import TlsChannel, TlsSide
from outvote.types import PartyId

HEADER_BYTES: Final = 4
RECORD_BYTES_MAX: Final = 256 * 1024  # of one body; an unfinished record holds no more

# An exchange costs each side 0.2 ms of CPU. Who dials begins one at the earliest this long after the last has ended, so
# whoever accepts sees honest ones further apart than half of it, and at most 0.2 per mille of a core go to a liar.
REFRESH_PAUSE_S: Final = 2.0

_DATA: Final = 0
_OFFER: Final = 1
_ANSWER: Final = 2
_PROOF: Final = 3
_RENEW: Final = 4  # who accepts asks who dials to begin
_GOODBYE: Final = 5


class KeyedSide:
    """Sides of keyed channels: `peer` is whom we dial, None where we accept; `below` is TLS, None for plain TCP."""

    __slots__ = ("below", "identity", "peer")

    def __init__(self, identity: Identity, peer: PartyId | None, below: TlsSide | None = None) -> None:
        self.identity = identity
        self.peer = peer
        self.below = below

    def open(self) -> KeyedChannel:
        return KeyedChannel(self)


class KeyedChannel:
    """One connection as bytes; see transport/channel.py for what each method does."""

    __slots__ = (
        "_accepting",
        "_arriving",
        "_begun_at",
        "_below",
        "_dialing",
        "_ended_at",
        "_heard",
        "_identity",
        "_leaving",
        "_missing",
        "_moved",
        "_party",
        "_peer",
        "_receiving",
        "_said",
        "_sending",
        "established",
        "finished",
        "format",
        "keys",
    )

    def __init__(self, side: KeyedSide) -> None:
        self._identity = side.identity
        self._peer = side.peer
        self._below = None if side.below is None else TlsChannel(side.below)
        self._party: PartyId | None = side.peer
        self._dialing: DialingExchange | None = None
        self._accepting: AcceptingExchange | None = None
        self._begun_at = self._ended_at = float("-inf")  # of the last exchange, by the monotonic clock
        self._sending: Any = None  # keyed, copied for each record
        self._receiving: Any = None
        self._said = self._heard = 0  # records under the present key
        # What came of an unfinished record: one growing array, looked at again when `_missing` bytes have come.
        self._arriving = bytearray()
        self._missing = 0
        self._leaving: list[bytes] = []
        self._moved = False
        self.keys: SessionKeys | None = None
        self.format = ""  # of frames, as agreed on with the keys
        self.established = False
        self.finished = False
        if self._below is None and self._peer is not None:
            self._begin()

    def receive(self, data: bytes) -> bytes:
        if self._below is None and self._receiving is not None and not self._arriving and data:
            end = len(data) - MAC_BYTES
            size = int.from_bytes(data[:HEADER_BYTES], "big")
            if end - HEADER_BYTES == size <= RECORD_BYTES_MAX and self.established:
                # One whole record of data, whose kind is 0: as most chunks are.
                self._check(data[:end], data[end:])
                return data[HEADER_BYTES:end]
        if self._below is not None:
            data = self._from_below(self._below, data)
        if self._arriving:
            self._arriving += data
            self._missing -= len(data)
            if self._missing > 0:
                return b""
            data = bytes(self._arriving)
            self._arriving = bytearray()
        plain: list[bytes] = []
        start, available, missing = 0, len(data), HEADER_BYTES
        while available - start >= HEADER_BYTES:
            kind = data[start]
            size = int.from_bytes(data[start + 1 : start + HEADER_BYTES], "big")
            if size > (RECORD_BYTES_MAX if self.established else EXCHANGE_BYTES_MAX):
                raise Lie(f"a record of {size} bytes")
            end = start + HEADER_BYTES + size
            stop = end if self._receiving is None else end + MAC_BYTES
            if stop > available:
                missing = stop - start
                break
            if stop > end:
                self._check(data[start:end], data[end:stop])
            body = data[start + HEADER_BYTES : end]
            if kind == _DATA and self.established:
                plain.append(body)
            else:
                self._control(kind, body)
            start = stop
        if start < available:
            self._arriving += data[start:]
            self._missing = missing - (available - start)
        return plain[0] if len(plain) == 1 else b"".join(plain)

    def _from_below(self, below: TlsChannel, data: bytes) -> bytes:
        data = below.receive(data)
        if below.established and self._peer is not None and self._dialing is None and not self.established:
            self._begin()
        self.finished = self.finished or below.finished
        return data

    def _check(self, record: bytes, mac: bytes) -> None:
        """Raises Lie unless this is the very next record under the present key."""
        code = self._receiving.copy()
        code.update(self._heard.to_bytes(8, "big") + record)
        if not compare_digest(code.digest(), mac):
            raise Lie("a record without its MAC: altered, replayed, out of order, or under old keys")
        self._heard += 1

    def encrypt(self, plaintext: bytes) -> bytes:
        if self._sending is not None and len(plaintext) <= RECORD_BYTES_MAX and not self._leaving:
            record = len(plaintext).to_bytes(HEADER_BYTES, "big") + plaintext  # the kind of data is 0
            code = self._sending.copy()
            code.update(self._said.to_bytes(8, "big") + record)
            self._said += 1
            sealed: bytes = record + code.digest()
            return sealed
        if len(plaintext) <= RECORD_BYTES_MAX:
            sealed = self._record(_DATA, plaintext)
        else:
            parts = range(0, len(plaintext), RECORD_BYTES_MAX)
            sealed = b"".join([self._record(_DATA, plaintext[at : at + RECORD_BYTES_MAX]) for at in parts])
        return self.take() + sealed if self._leaving else sealed

    def take(self) -> bytes:
        leaving, self._leaving = self._leaving, []
        if self._below is not None:
            leaving.append(self._below.take())
        return b"".join(leaving)

    @property
    def news(self) -> bool:
        moved, self._moved = self._moved, False
        return moved or (self._below is not None and self._below.news)

    @property
    def waiting(self) -> bool:
        return bool(self._leaving) or (self._below is not None and self._below.waiting)

    @property
    def cut(self) -> bool:
        return bool(self._arriving) or (self._below is not None and self._below.cut)

    def identity(self) -> PartyId:
        if self._party is None or (self._below is not None and self._below.identity() != self._party):
            raise Lie("session keys of another party than the certificate's")
        return self._party

    def refresh(self) -> None:
        if not self.established:
            return
        if self._peer is None:
            self._leaving.append(self._record(_RENEW, b""))
        elif self._dialing is None and time.monotonic() - self._ended_at >= REFRESH_PAUSE_S:
            self._begin()

    def goodbye(self) -> None:
        if self.established and not self.finished:
            self._leaving.append(self._record(_GOODBYE, b""))
        if self._below is not None:
            self._below.goodbye()

    def _record(self, kind: int, body: bytes) -> bytes:
        record = (kind << 24 | len(body)).to_bytes(HEADER_BYTES, "big") + body
        if self._sending is not None:
            code = self._sending.copy()
            code.update(self._said.to_bytes(8, "big") + record)
            record += code.digest()
            self._said += 1
        return record if self._below is None else self._below.encrypt(record)

    def _control(self, kind: int, body: bytes) -> None:
        """Everything but data. Raises Lie for what does not fit the state of the exchange."""
        self._moved = True
        if len(body) > EXCHANGE_BYTES_MAX:
            raise Lie(f"a control record of {len(body)} bytes")
        if kind == _OFFER and self._peer is None and self._accepting is None:
            self._offered(body)
        elif kind == _ANSWER and self._dialing is not None:
            self._answered(self._dialing, body)
        elif kind == _PROOF and self._accepting is not None:
            self._proven(self._accepting, body)
        elif kind == _RENEW and self.established and self._peer is not None:
            self.refresh()
        elif kind == _GOODBYE and self.established:
            self.finished = True
        else:
            raise Lie(f"a record of kind {kind} at the wrong time")

    def _begin(self) -> None:
        assert self._peer is not None
        self._dialing = DialingExchange(self._identity, self._peer, time.time_ns())
        self._leaving.append(self._record(_OFFER, self._dialing.offer))

    def _offered(self, offer: bytes) -> None:
        now = time.monotonic()
        if now - self._begun_at < REFRESH_PAUSE_S / 2:
            raise Lie("new session keys were offered twice within a second")
        self._begun_at = now
        expected = self._party
        if expected is None and self._below is not None:
            expected = self._below.identity()
        exchange = AcceptingExchange(self._identity, offer, time.time_ns(), expected)
        self._leaving.append(self._record(_ANSWER, exchange.answer))
        self.format = exchange.format  # raises what the answer says too: it leaves before the connection ends
        self._accepting = exchange
        self._send_under(exchange.back)

    def _answered(self, exchange: DialingExchange, answer: bytes) -> None:
        proof, keys = exchange.answered(answer)
        self._dialing = None
        self.format = exchange.format
        self._ended_at = time.monotonic()
        self._receive_under(keys.back)
        self._leaving.append(self._record(_PROOF, proof))
        self._send_under(keys.forth)
        self.keys = keys
        self.established = True

    def _proven(self, exchange: AcceptingExchange, proof: bytes) -> None:
        keys = exchange.proven(proof)
        self._accepting = None
        self._party = exchange.party
        self._receive_under(keys.forth)
        self.keys = keys
        self.established = True

    def _send_under(self, key: bytes) -> None:
        if self._below is None:
            self._sending, self._said = blake2b(key=key, digest_size=MAC_BYTES), 0

    def _receive_under(self, key: bytes) -> None:
        if self._below is None:
            self._receiving, self._heard = blake2b(key=key, digest_size=MAC_BYTES), 0
