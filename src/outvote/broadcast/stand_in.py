"""A stand-in for threshold cryptography: keyed BLAKE2s with the same interface as `crypto/threshold.py`, a hundred
times cheaper. For simulated clusters only: whoever reads its seed can do everything.

Within one process nobody can forge a share without the object of its replica: a share is a keyed hash under a key that
the dealer draws for each replica, and the objects hand out their own replica's alone. What f + 1 shares combine to is
a keyed hash under the dealer's key, given out only against f + 1 different valid shares, whichever they are: unique,
and unknown before, as with the real thing. A ciphertext hides its plaintext under a key that is opened in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2s
from hmac import compare_digest
from typing import Final

from outvote.core.committee import Committee
from outvote.errors import Lie
from outvote.types import ReplicaId

_NONCE: Final = 32
_PROOF: Final = 32


class Dealer:
    """Draws every key of one simulated cluster from its seed. `sharing`: shares dealt anew are others, of the same
    secret."""

    def __init__(self, committee: Committee, seed: int, sharing: bytes = b"") -> None:
        self.committee = committee
        self.sharing = sharing
        self.secret = blake2s(b"dealer" + seed.to_bytes(16, "big", signed=True)).digest()

    def share(self, replica: ReplicaId, purpose: bytes, name: bytes) -> bytes:
        key = blake2s(replica.to_bytes(8, "big") + self.sharing, key=self.secret, person=purpose).digest()
        return blake2s(name, key=key).digest()

    def verifies(self, replica: ReplicaId, purpose: bytes, name: bytes, share: bytes) -> bool:
        return self.committee.holds(replica) and compare_digest(self.share(replica, purpose, name), share)

    def combine(self, purpose: bytes, name: bytes, shares: Mapping[ReplicaId, bytes]) -> bytes:
        """What exactly f + 1 valid shares stand for. Anything else is our mistake: shares are verified before."""
        assert len(shares) == self.committee.weak
        assert all(self.verifies(replica, purpose, name, share) for replica, share in shares.items())
        return blake2s(name, key=self.secret, person=purpose).digest()


class StandInCoin:
    """One replica's access to the coins."""

    def __init__(self, dealer: Dealer, me: ReplicaId) -> None:
        self._dealer = dealer
        self._me = me

    def share(self, name: bytes) -> bytes:
        return self._dealer.share(self._me, b"coin", name)

    def verifies(self, name: bytes, sender: ReplicaId, share: bytes) -> bool:
        return self._dealer.verifies(sender, b"coin", name, share)

    def combine(self, name: bytes, shares: Mapping[ReplicaId, bytes]) -> bytes:
        return self._dealer.combine(b"coin", name, shares)


class StandInEncryption:
    """One replica's access to the encryption. A ciphertext is nonce, proof and masked text."""

    def __init__(self, dealer: Dealer, me: ReplicaId) -> None:
        self._dealer = dealer
        self._me = me

    def encrypt(self, label: bytes, plaintext: bytes, entropy: bytes) -> bytes:
        assert len(entropy) == _NONCE
        masked = _masked(self._key(entropy), plaintext)
        return entropy + self._proof(label, entropy, masked) + masked

    def checks(self, label: bytes, ciphertext: bytes) -> bool:
        nonce, proof, masked = _parts(ciphertext)
        return len(ciphertext) >= _NONCE + _PROOF and compare_digest(self._proof(label, nonce, masked), proof)

    def share(self, label: bytes, ciphertext: bytes) -> bytes:
        assert self.checks(label, ciphertext), "the proof is checked before a share is given"
        return self._dealer.share(self._me, b"decrypt", ciphertext)

    def verifies(self, _label: bytes, ciphertext: bytes, sender: ReplicaId, share: bytes) -> bool:
        return self._dealer.verifies(sender, b"decrypt", ciphertext, share)

    def combine(self, _label: bytes, ciphertext: bytes, shares: Mapping[ReplicaId, bytes]) -> bytes:
        self._dealer.combine(b"decrypt", ciphertext, shares)
        nonce, _, masked = _parts(ciphertext)
        text = _masked(self._key(nonce), masked)
        if text.startswith(SPOILED):
            raise Lie("a payload that does not open")
        return text

    def _key(self, nonce: bytes) -> bytes:
        return blake2s(nonce, key=self._dealer.secret, person=b"mask").digest()

    def _proof(self, label: bytes, nonce: bytes, masked: bytes) -> bytes:
        return blake2s(label + nonce + masked, key=self._dealer.secret, person=b"proof").digest()


# What a liar encrypts to have a ciphertext whose proof holds and whose payload does not open: with the real thing, a
# payload that is not sealed under the key that the proof is about.
SPOILED: Final = b"spoiled payload"


def _parts(ciphertext: bytes) -> tuple[bytes, bytes, bytes]:
    return ciphertext[:_NONCE], ciphertext[_NONCE : _NONCE + _PROOF], ciphertext[_NONCE + _PROOF :]


def _masked(key: bytes, text: bytes) -> bytes:
    """The same once more gives the text back."""
    blocks = range(-(-len(text) // 32))
    stream = b"".join(blake2s(block.to_bytes(8, "big"), key=key).digest() for block in blocks)[: len(text)]
    return (int.from_bytes(text, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(text), "big")


def deal(committee: Committee, seed: int) -> Sequence[tuple[StandInCoin, StandInEncryption]]:
    """Every replica's part."""
    dealer = Dealer(committee, seed)
    return [(StandInCoin(dealer, me), StandInEncryption(dealer, me)) for me in range(committee.n)]
