"""The common coin, as a port: what binary agreement needs of a unique threshold signature.

A coin has a name, which binds cluster, epoch, proposer and round. Each replica has a share of the signature over the
name; any f + 1 valid shares combine to the signature, always the same one (it is unique), and its hash is the coin.
f replicas alone cannot tell it in advance. `crypto/threshold.py` is the real one, `broadcast/stand_in.py` the one of
the simulator.

Binary agreement releases its share only after the CONF round: see there.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Protocol

from outvote.types import ReplicaId


class Coin(Protocol):
    """One replica's access to the coins of a cluster. None for an answer: it is being worked out; ask again when told
    to resume."""

    def share(self, name: bytes) -> bytes | None:
        """This replica's share of the coin of that name: to be said only when the coin may be known."""

    def verifies(self, name: bytes, sender: ReplicaId, share: bytes) -> bool | None:
        """Whether that is the sender's share."""

    def combine(self, name: bytes, shares: Mapping[ReplicaId, bytes]) -> bytes | None:
        """The signature, of exactly f + 1 verified shares; the same whichever they are."""


class PublicCoin:
    """A coin that everybody knows beforehand, for when there are no keys yet: see `key_generation.py` for what it is
    good for, and what not."""

    def share(self, _name: bytes) -> bytes:
        return b"public"

    def verifies(self, _name: bytes, _sender: ReplicaId, share: bytes) -> bool:
        return share == b"public"

    def combine(self, name: bytes, _shares: Mapping[ReplicaId, bytes]) -> bytes:
        return sha256(b"outvote public coin" + name).digest()


def coin_name(cluster: bytes, epoch: int, proposer: ReplicaId, number: int) -> bytes:
    """Of one round of one agreement. Fields have fixed lengths, so no two coins share a name."""
    numbers = [part.to_bytes(8, "big") for part in (epoch, proposer, number)]
    return b"".join((b"outvote coin", sha256(cluster).digest(), *numbers))


def toss(signature: bytes) -> bool:
    """Heads or tails."""
    return bool(sha256(signature).digest()[0] & 1)
