"""Signing keys, as bytes in and bytes out; who stores them where is configuration/files.py's matter.

A private key never appears in a repr, an error text or a pickle.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final, NoReturn

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from nacl.bindings import (
    crypto_core_ed25519_is_valid_point,
    crypto_sign_keypair,
    crypto_sign_seed_keypair,
)

from outvote.errors import Mistake

SEED_BYTES: Final = 32
PUBLIC_KEY_BYTES: Final = 32
THRESHOLD_SECRET_BYTES: Final = 32

_THRESHOLD_PEM: Final = re.compile(
    rb"\s*-----BEGIN OUTVOTE THRESHOLD KEY-----\s+([A-Za-z0-9+/=]{44})\s+-----END OUTVOTE THRESHOLD KEY-----\s*"
)


class SigningKey:
    """An Ed25519 key pair. `secret` is libsodium's 64 bytes (seed, then public key), `public` the raw 32."""

    __slots__ = ("public", "secret")

    def __init__(self, public: bytes, secret: bytes) -> None:
        self.public = public
        self.secret = secret

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public.hex()})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signing key is never pickled: store it with signing_key_to_pem")


class ThresholdSecret:
    """What one replica holds of threshold keys: 32 bytes, which mean something to crypto/threshold.py alone."""

    __slots__ = ("secret",)

    def __init__(self, secret: bytes) -> None:
        if len(secret) != THRESHOLD_SECRET_BYTES:
            raise Mistake(f"a threshold secret has {THRESHOLD_SECRET_BYTES} bytes, not {len(secret)}")
        self.secret = secret

    def __repr__(self) -> str:
        return "ThresholdSecret()"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a threshold secret is never pickled: store it with threshold_secret_to_pem")


def threshold_secret_to_pem(secret: ThresholdSecret) -> bytes:
    """No standard names such a key, so the label is ours; not encrypted, as the others."""
    body = base64.b64encode(secret.secret)
    return b"-----BEGIN OUTVOTE THRESHOLD KEY-----\n" + body + b"\n-----END OUTVOTE THRESHOLD KEY-----\n"


def threshold_secret_from_pem(pem: bytes) -> ThresholdSecret:
    """Raises Mistake if `pem` is not what `threshold_secret_to_pem` makes."""
    found = _THRESHOLD_PEM.fullmatch(pem)
    try:
        secret = base64.b64decode(found[1], validate=True) if found is not None else b""
    except binascii.Error:
        secret = b""
    if len(secret) != THRESHOLD_SECRET_BYTES:
        raise Mistake("not a threshold key of outvote in PEM form")
    return ThresholdSecret(secret)


def generate_signing_key() -> SigningKey:
    """A fresh key pair from the operating system's entropy."""
    public, secret = crypto_sign_keypair()
    return SigningKey(public, secret)


def signing_key_from_seed(seed: bytes) -> SigningKey:
    """The key pair of a 32-byte seed; for tests and simulations, where keys must be the same every time."""
    public, secret = crypto_sign_seed_keypair(seed)
    return SigningKey(public, secret)


def signing_key_to_pem(key: SigningKey) -> bytes:
    """PKCS #8 in PEM, not encrypted."""
    private = Ed25519PrivateKey.from_private_bytes(key.secret[:SEED_BYTES])
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def signing_key_from_pem(pem: bytes) -> SigningKey:
    """Raises Mistake if `pem` is not an unencrypted Ed25519 private key in PKCS #8."""
    try:
        private = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        private = None
    if not isinstance(private, Ed25519PrivateKey):
        raise Mistake("not an unencrypted Ed25519 private key in PEM form (PKCS #8)")
    return signing_key_from_seed(private.private_bytes_raw())


def check_public_key(public: bytes, whose: str) -> None:
    """Raises Mistake unless `public` is the canonical encoding of a point of the prime-order group.

    Under a small-order key a fixed signature opens many statements, so such a key belongs to nobody.
    """
    if len(public) != PUBLIC_KEY_BYTES:
        raise Mistake(f"the public key of {whose} has {len(public)} bytes instead of {PUBLIC_KEY_BYTES}")
    if not crypto_core_ed25519_is_valid_point(public):
        raise Mistake(
            f"the public key of {whose} is not a usable Ed25519 key (off the curve, or of small order): "
            "generate a new one"
        )
