"""Handing threshold keys of BLS12-381 over: `crypto/dealings.py` behind the port of `shares.py`. An extra, and heavy.

Boxes are encrypted to the keys that replicas have registered in the genesis.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from outvote.broadcast.coin import Coin
from outvote.broadcast.key_generation import Agreed
from outvote.broadcast.threshold_encryption import Cryptosystem
from outvote.core.committee import Committee
from outvote.crypto import dealings
from outvote.crypto.threshold import Keys, Public, ThresholdCoin, ThresholdEncryption, possesses
from outvote.errors import Lie, Mistake
from outvote.protocols.honeybadger.shares import Group, Outcome
from outvote.types import ReplicaId

_HELP_BYTES_MAX: Final = 48 + 32 + 16
_decode_carried: Final = msgspec.msgpack.Decoder(tuple[bytes, int, bytes]).decode
_decode: Final = msgspec.msgpack.Decoder(tuple[int, bytes, tuple[bytes, ...]]).decode


class DealtAnew:
    """One replica's share, and the secret that it has registered a key of."""

    def __init__(
        self, me: ReplicaId, registrations: Callable[[], Sequence[bytes]], secret: bytes,
        first: Callable[[], tuple[Public, bytes]],
    ) -> None:  # fmt: skip
        """`first`: the genesis's public keys and this replica's share of them, or b""; asked for when they are needed,
        since they may be made only after this object."""
        self._me = me
        self._registrations = registrations
        self._secret = secret
        self._first = first
        self._share: bytes | None = None  # None: the genesis's
        self._carried: tuple[bytes, Coin, Cryptosystem] | None = None  # the last one: jobs are of one era

    def ceremony(self, name: bytes, old: Group, new: tuple[ReplicaId, ...]) -> RealCeremony:
        public, share = self._first()
        if old.public:
            public = public_from(old.public)
        held = share if self._share is None else self._share
        registrations = self._registrations()
        terms = dealings.Terms(
            name, Committee(len(new)).weak, tuple(registrations[one] for one in new), len(old.members), public
        )
        places = _place(self._me, old.members), _place(self._me, new)
        return RealCeremony(dealings.Ceremony(terms), places, self._secret, held)

    def adopt(self, outcome: Outcome | None) -> None:
        assert outcome is None or isinstance(outcome, RealOutcome)
        public, _ = self._first()
        self._first = lambda: (public, b"")
        self._share = b"" if outcome is None else outcome.share
        self._carried = None

    def keys_from(self, carried: bytes) -> tuple[Coin, Cryptosystem]:
        if self._carried is None or self._carried[0] != carried:
            public, me, share = _decode_carried(carried)
            keys = Keys(public_from(public), me, share)
            self._carried = carried, ThresholdCoin(keys), ThresholdEncryption(keys)
        return self._carried[1:]


class RealCeremony:
    help_bytes_max = _HELP_BYTES_MAX

    def __init__(
        self, ceremony: dealings.Ceremony, places: tuple[ReplicaId | None, ReplicaId | None], secret: bytes,
        share: bytes,
    ) -> None:  # fmt: skip
        self._ceremony = ceremony
        self._old, self._new = places
        self._secret = secret
        self._share = share
        terms = ceremony.terms
        largest = dealings.dealing_bytes_max(terms.threshold, len(terms.registrations))
        self.sizes = largest, dealings.verdict_bytes_max(terms.dealers)
        self._public: dict[bytes, Public | None] = {}

    def deal(self) -> bytes:
        assert self._old is not None
        return self._ceremony.deal(self._old, self._secret, self._share)

    def verdict(self, dealings: Mapping[ReplicaId, bytes]) -> bytes:
        assert self._new is not None
        return self._ceremony.verdict(dealings, self._new, self._secret)

    def outcome(self, agreed: Agreed) -> RealOutcome:
        assert self._new is not None
        qualified = self._ceremony.qualified(agreed.dealings, agreed.verdicts)
        combined = self._ceremony.combine(agreed.dealings, qualified)
        guilty = tuple(one for one in agreed.dealings if one not in qualified)
        return RealOutcome(self._ceremony, combined, self._new, self._secret, guilty)

    def possesses(self, public: bytes, place: ReplicaId, name: bytes, possession: bytes) -> bool:
        try:
            return possesses(public_from(public), place, name, possession)
        except (Mistake, Lie):
            return False


class RealOutcome:
    def __init__(
        self, ceremony: dealings.Ceremony, combined: dealings.Combined, me: ReplicaId, secret: bytes,
        guilty: tuple[ReplicaId, ...],
    ) -> None:  # fmt: skip
        self.public = public_to(combined.public)
        self.guilty = guilty
        self._ceremony = ceremony
        self._combined = combined
        self._me = me
        self._secret = secret
        self._row: list[Any] | None = combined.row(me, secret)
        self.share = bytes(self._row[0].to_be_bytes()) if self._row else b""
        self._values: dict[ReplicaId, Any] = {}

    def has_share(self) -> bool:
        return bool(self.share)

    def _keys(self) -> Keys:
        return Keys(self._combined.public, self._me, self.share)

    def possession(self, name: bytes) -> bytes:
        return ThresholdCoin(self._keys()).share(name)

    def keys(self) -> tuple[Coin, Cryptosystem]:
        keys = self._keys()
        return ThresholdCoin(keys), ThresholdEncryption(keys)

    def carried(self) -> bytes:
        return msgspec.msgpack.encode((self.public, self._me, self.share))

    def help_for(self, receiver: ReplicaId) -> bytes | None:
        if self._row is None:
            return None
        value = dealings.value_for(self._row, receiver)
        return self._ceremony.help(self._me, receiver, value, self._secret)

    def take_help(self, helper: ReplicaId, box: bytes) -> None:
        value = self._ceremony.helped(helper, self._me, box, self._secret)
        if not self._combined.fits(helper, self._me, value):
            raise Lie("a value that does not fit")
        self._values[helper] = value
        if len(self._values) == self._ceremony.terms.threshold and not self.share:
            self.share = self._combined.share_of_help(self._values)


def public_to(public: Public) -> bytes:
    return msgspec.msgpack.encode((public.threshold, public.key, public.verification))


def public_from(raw: bytes) -> Public:
    """Raises Lie if it is none."""
    try:
        return Public(*_decode(raw))
    except (msgspec.DecodeError, RecursionError) as error:
        raise Lie("no public keys") from error


def _place(me: ReplicaId, members: tuple[ReplicaId, ...]) -> ReplicaId | None:
    return members.index(me) if me in members else None
