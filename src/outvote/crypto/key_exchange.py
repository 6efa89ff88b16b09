"""NEW-KEY: two parties agree on session keys, by X25519, signed with their identity keys. Pure.

    offer    dialing side   -> accepting side    NewKey, signed
    answer   accepting side -> dialing side      NewKey that quotes the offer's digest, signed
    proof    dialing side   -> accepting side    a signature over the digest of both

Each side signs something that the other made just now, so nothing recorded earlier convinces anybody, though the
secret half of an old ephemeral key may have leaked. Counters rise strictly besides: a NEW-KEY whose counter is not
above the last one of its sender is refused at once, before an answer is computed. Keys come from HKDF over the shared
secret, salted with a digest of everything that both have signed: cluster, epoch, both parties and their parts, both
counters, both ephemeral keys, and the wire formats that each side speaks. Each direction and each purpose has a key of
its own.

The wire format of what follows is the first of the dialing side's that the accepting side speaks too. Both have signed
what they speak, so whoever sits between them cannot talk them into an older one; if there is none in common, both are
told so by the other's own signature. A NEW-KEY itself has one form for ever, or nobody could say so.

Source: Castro and Liskov, "Practical Byzantine Fault Tolerance and Proactive Recovery", TOCS 2002, section 4.3.1; with
an agreement in place of keys encrypted to each receiver, so that a stolen identity key opens no old traffic.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final, NamedTuple, Protocol

import msgspec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from nacl.bindings import crypto_box_keypair, crypto_scalarmult
from nacl.exceptions import RuntimeError as SodiumRefusal

from outvote.core.contract import Claim, Struct, sealed_bytes
from outvote.errors import Lie, OtherVersion
from outvote.types import DIGEST_BYTES, SEAL_BYTES, SECOND, Digest, Nanos, PartyId, Seal

EPHEMERAL_BYTES: Final = 32
KEY_BYTES: Final = 32
COUNTER_MAX: Final = (1 << 63) - 1
# Counters made durable at once: those of ten seconds, so that exchanges cost one sync in that time at most. A restart
# skips what is left of them, and the clock has caught up ten seconds later.
RESERVED_AHEAD: Final = 10 * SECOND
FORMATS_MAX: Final = 4  # the present wire format and those before it, while hosts are upgraded one after the other
FORMAT_CHARACTERS_MAX: Final = 12
EXCHANGE_BYTES_MAX: Final = 256  # of one step; an answer has 160, and 13 more for each wire format: 212 at most

_LABEL: Final = b"outvote session keys 1"
_MALFORMED = (msgspec.DecodeError, RecursionError, UnicodeDecodeError, OverflowError)
_encode = msgspec.msgpack.Encoder().encode


class Sealer(Protocol):
    """Signs in one party's name."""

    def seal(self, statement: Struct) -> Seal: ...


class Opener(Protocol):
    """Knows the others' public keys."""

    def opens(self, claim: Claim) -> bool: ...


class NewKey(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag="new key"):
    """What the sender of an offer or an answer signs."""

    sender: PartyId
    receiver: PartyId
    counter: int  # above every one that the sender used before
    public: bytes  # the ephemeral X25519 key
    answered: Digest  # of the offer; empty in an offer
    formats: tuple[str, ...]  # of what follows that the sender speaks, the best first


class KeyProof(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag="key proof"):
    """What the dialing side signs at the end: that it made the offer for this very answer."""

    sender: PartyId
    receiver: PartyId
    agreed: Digest


class _Offered(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """An offer or an answer on its way."""

    new_key: NewKey
    seal: Seal


_decode = msgspec.msgpack.Decoder(_Offered).decode


class SessionKeys(NamedTuple):
    """32 bytes each, for one pair of parties, from one exchange to the next."""

    forth: bytes  # frames of the dialing side
    back: bytes  # frames of the accepting side
    requests: bytes  # the dialing side's entry in the authenticators of its requests

    def __repr__(self) -> str:
        return "SessionKeys(secret)"


class Ceiling(Protocol):
    """What is left of our counters when the process has ended: a number that none of them is above."""

    def read(self) -> int:
        """0 if there is none."""
        ...

    def raise_to(self, ceiling: int) -> None:
        """Durable when this returns."""
        ...


class Counters:
    """The counters of NEW-KEYs: our own ones, and the last ones of everybody else, offers apart from answers: two
    replicas dial each other at the same time, and an answer may overtake an offer. Two entries a party of the genesis:
    whoever has no identity key gets no further than its signature."""

    __slots__ = ("_ceiling", "_durable", "_last", "_own")

    def __init__(self, durable: Ceiling | None = None) -> None:
        self._durable = durable
        self._own = 0
        self._ceiling: int | None = None  # not read yet
        self._last: dict[tuple[PartyId, bool], int] = {}  # True: of answers

    def next(self, wall: Nanos) -> int:
        """Ours: above all that were used before, also by a process whose clock was ahead of this one's. Without a
        durable ceiling that is as true as the time of day."""
        if self._ceiling is None:
            self._ceiling = self._own = self._durable.read() if self._durable is not None else 0
        self._own = max(self._own + 1, wall)
        if self._own > self._ceiling and self._durable is not None:
            self._ceiling = self._own + RESERVED_AHEAD
            self._durable.raise_to(self._ceiling)
        return self._own

    def check(self, party: PartyId, counter: int, answers: bool = False) -> None:
        """Raises Lie for a counter that is not above the party's last one."""
        if not self._last.get((party, answers), 0) < counter <= COUNTER_MAX:
            raise Lie(f"a NEW-KEY of party {party} whose counter is not above its last one")

    def accept(self, party: PartyId, counter: int, answers: bool = False) -> None:
        """From now on, refuse the party's counters up to this one. Raises Lie as `check` does."""
        self.check(party, counter, answers)
        self._last[party, answers] = counter


class Identity:
    """What a party brings into every exchange."""

    __slots__ = ("counters", "domain", "formats", "me", "opener", "sealer")

    def __init__(
        self,
        me: PartyId,
        seal_domain: bytes,
        sealer: Sealer,
        opener: Opener,
        formats: tuple[str, ...],
        ceiling: Ceiling | None = None,
    ) -> None:
        """`seal_domain`: of this cluster and epoch, see crypto/seals.py. `opener`: by signatures. `formats`: wire
        formats that we speak, the best first. `ceiling`: of our counters, where there is a disk for it."""
        assert len(formats) <= FORMATS_MAX
        self.me = me
        self.formats = formats
        self.domain = seal_domain
        self.sealer = sealer
        self.opener = opener
        self.counters = Counters(ceiling)


class DialingExchange:
    """The side that begins. Good for one exchange."""

    __slots__ = ("_identity", "_ours", "_peer", "_secret", "format", "offer")

    def __init__(self, identity: Identity, peer: PartyId, wall: Nanos) -> None:
        """`wall`: nanoseconds since 1970, for the counter. `offer` is what the peer is to get."""
        self._identity = identity
        self._peer = peer
        public, self._secret = crypto_box_keypair()
        self._ours = NewKey(identity.me, peer, identity.counters.next(wall), public, b"", identity.formats)
        self.format = ""  # agreed on once it is answered
        self.offer = _encode(_Offered(self._ours, identity.sealer.seal(self._ours)))

    def answered(self, answer: bytes) -> tuple[bytes, SessionKeys]:
        """The proof that the peer is to get, and the keys. Raises Lie for anything but the peer's answer to this
        offer, OtherVersion for one that has no wire format in common with it."""
        identity, ours = self._identity, self._ours
        theirs = _genuine(identity, answer, self._peer, _digest(identity.domain, ours))
        self.format = _format(ours, theirs, theirs)
        identity.counters.accept(self._peer, theirs.counter, answers=True)
        agreed = _agreed(identity.domain, ours, theirs)
        proof = identity.sealer.seal(KeyProof(identity.me, self._peer, agreed))
        return proof, _derive(self._secret, theirs.public, agreed)


class AcceptingExchange:
    """The side that answers. Good for one exchange. `party` has proven itself only once `proven` has returned."""

    __slots__ = ("_agreed", "_counter", "_identity", "_keys", "_offered", "_ours", "answer", "back", "party")

    def __init__(self, identity: Identity, offer: bytes, wall: Nanos, party: PartyId | None = None) -> None:
        """`party`: who it must be, if that is known already. Raises Lie for anything but a new offer to us.

        Costs a verification, a signature and an agreement: 0.2 ms."""
        theirs = _genuine(identity, offer, party, b"")
        identity.counters.check(theirs.sender, theirs.counter)
        public, secret = crypto_box_keypair()
        answered = _digest(identity.domain, theirs)
        ours = NewKey(identity.me, theirs.sender, identity.counters.next(wall), public, answered, identity.formats)
        self._offered, self._ours = theirs, ours
        self._identity = identity
        self._counter = theirs.counter
        self._agreed = _agreed(identity.domain, theirs, ours)
        self._keys = _derive(secret, theirs.public, self._agreed)
        self.party = theirs.sender
        self.back = self._keys.back  # for what we say from now on, to whoever made the offer
        self.answer = _encode(_Offered(ours, identity.sealer.seal(ours)))

    @property
    def format(self) -> str:
        """What the other side will speak, and we too. Raises OtherVersion if there is none in common; there is an
        `answer` all the same, that tells it so."""
        return _format(self._offered, self._ours, self._offered)

    def proven(self, proof: bytes) -> SessionKeys:
        """The keys, if the offer was made for our answer. Raises Lie otherwise, and if the party has used a newer
        counter meanwhile."""
        statement = KeyProof(self.party, self._identity.me, self._agreed)
        if len(proof) != SEAL_BYTES or not self._identity.opener.opens(Claim(self.party, statement, proof)):
            raise Lie(f"an offer of new keys in the name of party {self.party} that was not made now")
        self._identity.counters.accept(self.party, self._counter)
        return self._keys


def _genuine(identity: Identity, step: bytes, party: PartyId | None, answered: Digest) -> NewKey:
    """The NEW-KEY in an offer or answer. Raises Lie unless it is for us, of whom it should be, and signed."""
    if len(step) > EXCHANGE_BYTES_MAX:
        raise Lie(f"a NEW-KEY of {len(step)} bytes")
    try:
        new_key, seal = msgspec.structs.astuple(_decode(step))
    except _MALFORMED as error:
        raise Lie(f"not a NEW-KEY: {str(error)[:200]}") from None
    if new_key.receiver != identity.me or new_key.sender == identity.me:
        raise Lie(f"a NEW-KEY from party {new_key.sender} to party {new_key.receiver}, received by {identity.me}")
    if party is not None and new_key.sender != party:
        raise Lie(f"a NEW-KEY of party {new_key.sender} where party {party} should speak")
    if new_key.answered != answered:
        raise Lie("a NEW-KEY that answers another offer")
    if len(new_key.formats) > FORMATS_MAX or any(not _is_name(name) for name in new_key.formats):
        raise Lie("a NEW-KEY whose wire formats are no names")
    if len(new_key.public) != EPHEMERAL_BYTES:
        raise Lie(f"an ephemeral key of {len(new_key.public)} bytes")
    if not identity.opener.opens(Claim(new_key.sender, new_key, seal)):
        raise Lie(f"a NEW-KEY in the name of party {new_key.sender} that it did not sign")
    genuine: NewKey = new_key
    return genuine


def _is_name(text: str) -> bool:
    return 0 < len(text) <= FORMAT_CHARACTERS_MAX and text.isascii() and text.isprintable()


def _format(offered: NewKey, answer: NewKey, theirs: NewKey) -> str:
    """The best that both speak, as the dialing side sees it. `theirs`: the one of the two that is not ours."""
    for name in offered.formats:
        if name in answer.formats:
            return name
    ours = answer if theirs is offered else offered
    raise OtherVersion(
        f"another version of outvote: party {theirs.sender} speaks {' or '.join(theirs.formats) or 'nothing'}, and this"
        f" one {' or '.join(ours.formats)}; install the same version on both sides"
    )


def _digest(domain: bytes, new_key: NewKey) -> Digest:
    return sha256(sealed_bytes(domain, new_key)).digest()


def _agreed(domain: bytes, offered: NewKey, answer: NewKey) -> Digest:
    """What both have signed: the answer names the offer, and the domain the cluster and epoch."""
    return sha256(_digest(domain, offered) + _digest(domain, answer)).digest()


def _derive(secret: bytes, public: bytes, agreed: Digest) -> SessionKeys:
    assert len(agreed) == DIGEST_BYTES
    try:
        shared = crypto_scalarmult(secret, public)
    except SodiumRefusal:
        raise Lie("an ephemeral key of small order: it would make the shared secret known") from None
    keys = HKDF(algorithm=SHA256(), length=3 * KEY_BYTES, salt=agreed, info=_LABEL).derive(shared)
    return SessionKeys(keys[:KEY_BYTES], keys[KEY_BYTES : 2 * KEY_BYTES], keys[2 * KEY_BYTES :])
