"""Self-signed TLS certificates, pinned by the genesis.

Trust comes from the exact bytes in cluster.toml, never from an issuer or a date. So the validity has no
end that could stop a cluster one night, and no beginning that a slow clock could miss. The TLS key is
separate from the signing key: a handshake can never produce bytes that open as a seal.

P-256 rather than Ed25519: both cost 1.0 ms of CPU a handshake for both sides together (OpenSSL 3.0), and
P-256 is what every inspection tool and accelerator knows.
"""

from __future__ import annotations

import base64
import binascii
import datetime
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from outvote.errors import Mistake

# The builder takes naive times as UTC.
_BEGIN = datetime.datetime(1970, 1, 1)
_END = datetime.datetime(9999, 12, 31, 23, 59, 59)  # RFC 5280: "no well-defined expiration date"


def mint_certificate(name: str) -> tuple[bytes, bytes]:
    """A fresh key and its self-signed certificate, both in PEM: (private key, certificate)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])  # X.520: 64 characters
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_BEGIN)
        .not_valid_after(_END)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private, certificate.public_bytes(Encoding.PEM)


def certificate_der(pem: bytes) -> bytes:
    """The DER bytes of the one certificate in `pem`. Raises Mistake if there is none."""
    try:
        return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    except ValueError:
        raise Mistake("not a certificate in PEM form") from None


def certificate_text(der: bytes) -> str:
    """How cluster.toml writes a certificate: base64 of its DER bytes."""
    return base64.b64encode(der).decode()


def certificate_from_text(text: str) -> bytes:
    """DER bytes of what `certificate_text` wrote. Raises Mistake if they are no certificate."""
    try:
        der = base64.b64decode(text, validate=True)
        x509.load_der_x509_certificate(der).public_key()
    except (ValueError, binascii.Error, x509.InvalidVersion, TypeError):
        raise Mistake("not a certificate in base64 of DER") from None
    return der


def fingerprint(der: bytes) -> str:
    """SHA-256 of the DER bytes, as tools print it."""
    return sha256(der).digest().hex(":")


def key_fits_certificate(key_pem: bytes, der: bytes) -> bool:
    """Whether the private key belongs to the certificate. Raises Mistake if it is no private key."""
    try:
        public = load_pem_private_key(key_pem, password=None).public_key()
    except (ValueError, TypeError):
        raise Mistake("not an unencrypted private key in PEM form (PKCS #8)") from None
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return public.public_bytes(*form) == x509.load_der_x509_certificate(der).public_key().public_bytes(*form)
