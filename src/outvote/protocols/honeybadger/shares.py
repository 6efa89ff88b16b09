"""The arithmetic of handing keys over from era to era, as a port, and its stand-in for simulated clusters.

The real one is `dealt_anew.py`, over `crypto/dealings.py`; what has to be agreed on is in `broadcast/key_resharing.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2s
from hmac import compare_digest
from typing import Final, NamedTuple, Protocol

from outvote.broadcast.coin import Coin
from outvote.broadcast.key_generation import Agreed
from outvote.broadcast.stand_in import Dealer, StandInCoin, StandInEncryption
from outvote.broadcast.threshold_encryption import Cryptosystem
from outvote.core.committee import Committee
from outvote.errors import Lie
from outvote.types import ReplicaId


class Group(NamedTuple):
    """An era's members, and its public keys; b"" for those of the genesis."""

    members: tuple[ReplicaId, ...]
    public: bytes


class Outcome(Protocol):
    """What a re-sharing came to, at one new member. Numbers are places among the new members."""

    public: bytes
    guilty: tuple[ReplicaId, ...]  # old members' places: whose dealings do not count

    def has_share(self) -> bool:
        """False: somebody lied to us and was believed."""

    def possession(self, name: bytes) -> bytes:
        """That we have our share."""

    def keys(self) -> tuple[Coin, Cryptosystem]: ...

    def carried(self) -> bytes:
        """What `Shares.keys_from` makes the same keys of. Secret."""

    def help_for(self, receiver: ReplicaId) -> bytes | None:
        """A value of its row, in a box; None if we lack our own."""

    def take_help(self, helper: ReplicaId, box: bytes) -> None:
        """Raises Lie if it is none. With f + 1 of them we have our share."""


class Ceremony(Protocol):
    """One re-sharing, at one replica that is an old member, a new one, or both."""

    sizes: tuple[int, int]  # bytes of the largest dealing and of the largest verdict
    help_bytes_max: int

    def deal(self) -> bytes:
        """This old member's dealing; the same again if it is asked again."""

    def verdict(self, dealings: Mapping[ReplicaId, bytes]) -> bytes:
        """Whom of these this new member has to accuse; the same again for the same dealings."""

    def outcome(self, agreed: Agreed) -> Outcome:
        """At a new member. Raises Lie if too many lied for there to be one."""

    def possesses(self, public: bytes, place: ReplicaId, name: bytes, possession: bytes) -> bool:
        """Whether whoever made this has that new member's share."""


class Shares(Protocol):
    """What one replica holds of the keys."""

    def ceremony(self, name: bytes, old: Group, new: tuple[ReplicaId, ...]) -> Ceremony:
        """`name`: of this handing over and no other."""

    def adopt(self, outcome: Outcome | None) -> None:
        """This is held from now on, or nothing is, and what was held before is forgotten."""

    def keys_from(self, carried: bytes) -> tuple[Coin, Cryptosystem]:
        """Of an outcome's `carried`, perhaps in another process of this replica."""


class StandInShares:
    """Of `broadcast/stand_in.py`: whoever knows the seed can do everything."""

    def __init__(self, me: ReplicaId, members: tuple[ReplicaId, ...], seed: int) -> None:
        self._me = me
        self._seed = seed
        self._held: tuple[Dealer, ReplicaId] | None = None
        if me in members:
            self._held = Dealer(Committee(len(members)), seed), members.index(me)

    def ceremony(self, name: bytes, old: Group, new: tuple[ReplicaId, ...]) -> StandInCeremony:
        return StandInCeremony(self._me, self._seed, name, old, new, self._held)

    def adopt(self, outcome: Outcome | None) -> None:
        assert outcome is None or isinstance(outcome, StandInOutcome)
        self._held = None if outcome is None else (outcome.dealer, outcome.me)

    def keys_from(self, carried: bytes) -> tuple[Coin, Cryptosystem]:
        me, n, sharing = carried[0], carried[1], carried[2:]
        dealer = Dealer(Committee(n), self._seed, sharing)
        return StandInCoin(dealer, me), StandInEncryption(dealer, me)


_TOKEN: Final = 16


class StandInCeremony:
    """A dealing is a proof that its dealer holds its old share, and a token for each receiver; a verdict names those
    whose token for us is wrong."""

    help_bytes_max = 32

    def __init__(
        self, me: ReplicaId, seed: int, name: bytes, old: Group, new: tuple[ReplicaId, ...],
        held: tuple[Dealer, ReplicaId] | None,
    ) -> None:  # fmt: skip
        self.name, self.seed = name, seed
        self.old = Dealer(Committee(len(old.members)), seed, old.public)
        self.committee = Committee(len(new))
        self.me = new.index(me) if me in new else None
        self._held = held
        self.sizes = 32 + _TOKEN * len(new), len(old.members)

    def deal(self) -> bytes:
        assert self._held is not None, "who holds no share deals nothing"
        dealer, place = self._held
        return dealer.share(place, b"deal", self.name) + b"".join(map(self.token, [place] * self.committee.n,
                                                                      range(self.committee.n)))  # fmt: skip

    def token(self, dealer: ReplicaId, receiver: ReplicaId) -> bytes:
        return blake2s(self.name + bytes([dealer, receiver]), key=self.old.secret, digest_size=_TOKEN).digest()

    def right_for(self, dealer: ReplicaId, dealing: bytes, receiver: ReplicaId) -> bool:
        at = 32 + _TOKEN * receiver
        return compare_digest(dealing[at : at + _TOKEN], self.token(dealer, receiver))

    def right_in_public(self, dealer: ReplicaId, dealing: bytes) -> bool:
        return len(dealing) == self.sizes[0] and self.old.verifies(dealer, b"deal", self.name, dealing[:32])

    def verdict(self, dealings: Mapping[ReplicaId, bytes]) -> bytes:
        assert self.me is not None
        me = self.me
        return bytes(
            one for one, raw in sorted(dealings.items())
            if self.right_in_public(one, raw) and not self.right_for(one, raw, me)
        )  # fmt: skip

    def outcome(self, agreed: Agreed) -> StandInOutcome:
        assert self.me is not None
        qualified = [
            one for one, raw in sorted(agreed.dealings.items())
            if self.right_in_public(one, raw)
            and not any(
                one in verdict and not self.right_for(one, raw, accuser)
                for accuser, verdict in agreed.verdicts.items()
            )
        ]  # fmt: skip
        chosen = qualified[: self.old.committee.weak]
        if len(chosen) < self.old.committee.weak:
            raise Lie(f"only {len(chosen)} dealings count: more replicas lie than the cluster bears")
        sharing = blake2s(self.name + b"".join(agreed.dealings[one] for one in chosen)).digest()
        held = all(self.right_for(one, agreed.dealings[one], self.me) for one in chosen)
        guilty = tuple(one for one in agreed.dealings if one not in qualified)
        return StandInOutcome(self, self.me, sharing, held, guilty)

    def possesses(self, public: bytes, place: ReplicaId, name: bytes, possession: bytes) -> bool:
        return Dealer(self.committee, self.seed, public).verifies(place, b"possess", name, possession)


class StandInOutcome:
    """Of the stand-in."""

    def __init__(
        self, ceremony: StandInCeremony, me: ReplicaId, sharing: bytes, held: bool, guilty: tuple[ReplicaId, ...]
    ) -> None:
        self.public, self.guilty, self.me = sharing, guilty, me
        self.dealer = Dealer(ceremony.committee, ceremony.seed, sharing)
        self._held = held
        self._helped: dict[ReplicaId, None] = {}

    def has_share(self) -> bool:
        return self._held

    def possession(self, name: bytes) -> bytes:
        return self.dealer.share(self.me, b"possess", name)

    def keys(self) -> tuple[Coin, Cryptosystem]:
        return StandInCoin(self.dealer, self.me), StandInEncryption(self.dealer, self.me)

    def carried(self) -> bytes:
        return bytes([self.me, self.dealer.committee.n]) + self.public

    def help_for(self, receiver: ReplicaId) -> bytes | None:
        return self.dealer.share(self.me, b"help", bytes([receiver])) if self._held else None

    def take_help(self, helper: ReplicaId, box: bytes) -> None:
        if not self.dealer.verifies(helper, b"help", bytes([self.me]), box):
            raise Lie("a value that does not fit")
        self._helped[helper] = None
        self._held = self._held or len(self._helped) >= self.dealer.committee.weak
