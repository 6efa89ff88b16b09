"""TLS 1.3, mutual, with every certificate pinned by the genesis; and a channel that does it without sockets.

Who is at the other end is decided by the exact bytes of the certificate, after OpenSSL has seen that the other
end holds its key. No issuer, name or date plays a part. `TlsChannel` turns bytes into bytes, so the same code
runs under asyncio and uvloop, costs no task a connection, and its handshake can be bounded and counted.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from outvote.configuration.files import PartyKeys
from outvote.crypto.key_exchange import SessionKeys
from outvote.errors import Lie, Mistake, OtherVersion
from outvote.types import PartyId

# Wire formats that we speak, the best first: told by ALPN (RFC 7301), and in the NEW-KEYs of keyed channels. A release
# that changes the format names the old one behind the new one for as long as it speaks both, so replicas can be
# upgraded one after the other.
WIRE_FORMATS: Final = ("outvote/1",)

_RECORD_BYTES_MAX: Final = 16_384  # of plaintext in one TLS record

# A handshake with our certificates is 1.5 KB a direction. OpenSSL would take chains of 100 KB from strangers.
HANDSHAKE_BYTES_MAX: Final = 16_384


class PinnedCertificates:
    """The certificates that may be at the other end, and whose each is."""

    __slots__ = ("_parties", "_trust")

    def __init__(self, certificates: Mapping[PartyId, bytes]) -> None:
        """`certificates`: DER bytes a party; a replica passes everybody's, a client those of the replicas."""
        self._parties = {der: party for party, der in certificates.items()}
        self._trust = b"".join(certificates.values())

    def accepting_context(self, keys: PartyKeys) -> ssl.SSLContext:
        """For the side that listens. Raises Mistake if the key files do not work."""
        context = self._context(ssl.PROTOCOL_TLS_SERVER, keys)
        context.num_tickets = 0  # no resumption: every connection proves its key
        return context

    def dialing_context(self, keys: PartyKeys) -> ssl.SSLContext:
        """For the side that dials. Raises Mistake if the key files do not work."""
        return self._context(ssl.PROTOCOL_TLS_CLIENT, keys)

    def identify(self, connection: ssl.SSLObject | ssl.SSLSocket) -> PartyId:
        """Whose certificate the other end has shown and proven. Raises Lie if nobody's.

        OpenSSL alone would also accept what a pinned certificate has signed; comparing all bytes does not."""
        party = self._parties.get(connection.getpeercert(binary_form=True) or b"")
        if party is None:
            raise Lie("a certificate that cluster.toml does not name")
        return party

    def _context(self, protocol: int, keys: PartyKeys) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_3  # no renegotiation, no static keys, no downgrade
        context.check_hostname = False  # the certificate itself is compared
        context.verify_mode = ssl.CERT_REQUIRED
        context.set_alpn_protocols(WIRE_FORMATS)
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_TICKET
        try:
            context.load_cert_chain(keys.tls_certificate, keys.tls_key)
        except (OSError, ssl.SSLError) as error:
            raise Mistake(f"{keys.tls_key} cannot be used for TLS: {error}") from None
        if self._trust:
            context.load_verify_locations(cadata=self._trust)
        return context


class TlsSide:
    """What every connection that we accept, or every one that we dial, begins with."""

    __slots__ = ("accepting", "context", "pinned")

    def __init__(self, context: ssl.SSLContext, pinned: PinnedCertificates, *, accepting: bool) -> None:
        self.context = context
        self.pinned = pinned
        self.accepting = accepting

    def open(self) -> TlsChannel:
        return TlsChannel(self)


class TlsChannel:
    """One TLS connection as bytes: feed what arrived, take what is to leave."""

    __slots__ = (
        "_arriving",
        "_handshake_bytes",
        "_leaving",
        "_object",
        "_pinned",
        "established",
        "finished",
        "keys",
    )

    def __init__(self, side: TlsSide) -> None:
        self._arriving = ssl.MemoryBIO()
        self._leaving = ssl.MemoryBIO()
        self._object = side.context.wrap_bio(self._arriving, self._leaving, server_side=side.accepting)
        self._pinned = side.pinned
        self._handshake_bytes = 0
        self.established = False
        self.finished = False  # the other end has said goodbye
        self.keys: SessionKeys | None = None  # its own are inside OpenSSL

    def receive(self, data: bytes) -> bytes:
        """The plaintext that `data` completes. Raises Lie for anything that is not TLS as we want it.

        There may be something to `take` afterwards, also if Lie was raised: the alert that tells why."""
        self._arriving.write(data)
        if not self.established:
            try:
                self._object.do_handshake()
            except ssl.SSLWantReadError:
                self._handshake_bytes += len(data)
                if self._handshake_bytes > HANDSHAKE_BYTES_MAX:
                    raise Lie(f"a TLS handshake of more than {HANDSHAKE_BYTES_MAX} bytes") from None
                return b""
            except ssl.SSLError as error:
                raise Lie(f"no TLS handshake: {_reason(error)}") from None
            self.established = True
        read, arriving = self._object.read, self._arriving
        chunks: list[bytes] = []
        try:
            while chunk := read(_RECORD_BYTES_MAX):  # a whole record, so nothing of one is left behind
                chunks.append(chunk)
                if not arriving.pending:
                    break  # all of it: asking once more would cost an exception
            else:
                self.finished = True  # reading nothing, where something is wanted, is the goodbye
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.finished = True
        except ssl.SSLError as error:
            raise Lie(f"broken TLS: {_reason(error)}") from None
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def encrypt(self, plaintext: bytes) -> bytes:
        """What carries `plaintext`, behind anything that was to leave before; only once established."""
        self._object.write(plaintext)  # a memory buffer takes everything at once
        return self._leaving.read()

    def take(self) -> bytes:
        """What is to leave now; empty if nothing."""
        return self._leaving.read()

    @property
    def waiting(self) -> bool:
        """Whether there is something to take."""
        return self._leaving.pending > 0

    @property
    def news(self) -> bool:
        """Something to take, or the other end's goodbye."""
        return self.finished or self._leaving.pending > 0

    def identity(self) -> PartyId:
        """Raises Lie if the other end is nobody we know, OtherVersion if it is, and we have no wire format in common;
        only once established."""
        party = self._pinned.identify(self._object)
        if self._object.selected_alpn_protocol() not in WIRE_FORMATS:
            raise OtherVersion(
                f"another version of outvote: party {party} does not speak {' or '.join(WIRE_FORMATS)}, as this one"
                " does; install the same version on both sides"
            )
        return party

    @property
    def cut(self) -> bool:
        """Whether the last record that came is unfinished."""
        return self._arriving.pending > 0

    def refresh(self) -> None:
        """TLS 1.3 makes new keys with every connection; it has none that others use."""

    def goodbye(self) -> None:
        """Queue the alert that ends the connection in order."""
        if self.established:
            with suppress(ssl.SSLError):  # it wants the other end's goodbye, which nobody waits for
                self._object.unwrap()


def _reason(error: ssl.SSLError) -> str:
    detail = getattr(error, "verify_message", "") or error.reason or str(error)
    return str(detail).lower().replace("_", " ")[:120]
