"""What one replica is given besides its number: its part of the threshold keys, and chance.

Chance is an argument: a protocol tosses no coins of its own. `Drawn` draws from a seed, as the simulator wants it;
`Derived` from what only this replica knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2s
from typing import Final, NamedTuple, Protocol

from outvote.broadcast.coin import Coin
from outvote.broadcast.threshold_encryption import Cryptosystem
from outvote.core.committee import Committee
from outvote.protocols.honeybadger.shares import Shares
from outvote.types import Position, ReplicaId


class Entropy(Protocol):
    """32 bytes for a purpose in an epoch; unknown to others, and the same again if it is asked again."""

    def draw(self, epoch: Position, purpose: bytes) -> bytes: ...


class Drawn:
    """From a seed: whoever knows it knows everything."""

    def __init__(self, seed: int, me: ReplicaId) -> None:
        self._key = blake2s(b"entropy" + seed.to_bytes(16, "big", signed=True) + me.to_bytes(8, "big")).digest()

    def draw(self, epoch: Position, purpose: bytes) -> bytes:
        return blake2s(epoch.to_bytes(8, "big") + purpose, key=self._key).digest()


class Derived:
    """From a secret of 32 bytes: the same again after a restart, without another file."""

    def __init__(self, secret: bytes) -> None:
        self._key = blake2s(secret, person=b"entropy").digest()

    def draw(self, epoch: Position, purpose: bytes) -> bytes:
        return blake2s(epoch.to_bytes(8, "big") + purpose, key=self._key).digest()


class Keys(NamedTuple):
    """One replica's part."""

    coin: Coin
    encryption: Cryptosystem
    entropy: Entropy
    cluster: bytes  # bound into the names of coins and the labels of ciphertexts
    deferred: bool = False  # worked out as jobs, outside of the turn
    shares: Shares | None = None  # by which they are handed over; None: members cannot change


class NoCoin:
    """Of one that has no share: nothing is asked of it but by jobs that outlive the share."""

    def share(self, _name: bytes) -> bytes:
        return b""

    def verifies(self, _name: bytes, _sender: ReplicaId, _share: bytes) -> bool:
        return False

    def combine(self, _name: bytes, _shares: Mapping[ReplicaId, bytes]) -> bytes:
        return b""


class NoEncryption:
    """The same."""

    def encrypt(self, _label: bytes, _plaintext: bytes, _entropy: bytes) -> bytes:
        return b""

    def checks(self, _label: bytes, _ciphertext: bytes) -> bool:
        return False

    def share(self, _label: bytes, _ciphertext: bytes) -> bytes:
        return b""

    def verifies(self, _label: bytes, _ciphertext: bytes, _sender: ReplicaId, _share: bytes) -> bool:
        return False

    def combine(self, _label: bytes, _ciphertext: bytes, _shares: Mapping[ReplicaId, bytes]) -> bytes:
        return b""


NO_KEYS: Final[tuple[Coin, Cryptosystem]] = (NoCoin(), NoEncryption())


class Given(NamedTuple):
    """The same as a configuration and a key file hold it, not looked at yet."""

    cluster: bytes  # the genesis's identity
    public: bytes
    verification: tuple[bytes, ...]
    secret: bytes
    registrations: tuple[bytes, ...] = ()  # then the replicas make the keys together: see founding.py


def real_keys(me: ReplicaId, committee: Committee, given: Given) -> Keys:
    """Raises Mistake if they do not belong together, or where their library (the extra `threshold`) is missing."""
    from outvote.crypto import threshold  # noqa: PLC0415 - an extra, and heavy

    public = threshold.public_of(committee.weak, given.public, given.verification)
    own = threshold.Keys(public, me, given.secret)
    coin, encryption = threshold.ThresholdCoin(own), threshold.ThresholdEncryption(own)
    return Keys(coin, encryption, Derived(given.secret), given.cluster, deferred=True)
